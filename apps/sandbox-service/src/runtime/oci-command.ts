import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { type RunResult, run } from '@gantry/host';
import { withSpan } from '@gantry/telemetry';
import type { RuntimeHandler } from '../ports.ts';
import { runtimeWords } from './runtime-words.ts';

/** The longest that a command of an OCI runtime other than `create` may take. */
const timeoutMs = 120_000;

/** Where a handler keeps the state of its containers. */
export function runtimeRootOf(stateDir: string, handlerName: string): string {
  return join(stateDir, 'runtimes', handlerName);
}

/** Runs `<runtime> --root <root> <args>` as one span; any exit code is a result. */
export async function runOci(
  handler: RuntimeHandler,
  root: string,
  args: readonly [command: string, ...rest: string[]],
  signal?: AbortSignal,
  stdin?: string,
): Promise<RunResult> {
  const attributes = { 'container.id': args.at(-1) ?? '', 'gantry.handler': handler.name };
  return withSpan(`${handler.name} ${args[0]}`, attributes, () =>
    run(handler.path, [`--root=${root}`, ...args], {
      env: runtimeEnvironment(),
      timeoutMs,
      ...(signal === undefined ? {} : { signal }),
      ...(stdin === undefined ? {} : { stdin }),
    }),
  );
}

/** Bare: neither credentials nor notify sockets are the runtime's business. */
export function runtimeEnvironment(): Record<string, string> {
  return { PATH: [process.env['PATH'], '/usr/sbin:/usr/bin:/sbin:/bin'].filter(Boolean).join(':') };
}

/** An error with the runtime's own words: `<doing>: <handler> <command>: <words>`. */
export function ociFailure(
  doing: string,
  handler: RuntimeHandler,
  command: string,
  result: Pick<RunResult, 'exitCode' | 'signal' | 'stderr' | 'stdout'>,
): RuntimeError {
  const words = runtimeWords(result.stderr.toString()) || runtimeWords(result.stdout.toString());
  const how = result.signal === null ? `exit code ${result.exitCode}` : `ended by ${result.signal}`;
  const message = `${doing}: ${handler.name} ${command}: ${words === '' ? how : words}`;
  return new RuntimeError('internal', message);
}

/** Whether a runtime's words say that it knows no such container. */
export function saysNoSuchContainer(result: RunResult): boolean {
  // runc: "container does not exist"; crun: "error opening file `.../status`: No such file or directory".
  return /does not exist|no such (?:file|container)|not found/i.test(result.stderr.toString());
}
