import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, RuntimeError } from '@gantry/errors';
import { findTool, missingTool, run } from '@gantry/host';
import { isMissing } from '../errno.ts';
import type { CallOptions, RuntimeHandler } from '../ports.ts';
import { ociFailure, runOci, runtimeEnvironment } from './oci-command.ts';

/** Where CRIU puts what it saves, and what it says meanwhile (`dump.log`). */
export interface CheckpointPaths {
  readonly imageDir: string;
  readonly workDir: string;
}

const maxWordsLength = 1000;

/**
 * Saves the processes of a running container by `<runtime> checkpoint` (CRIU);
 * it runs on. Throws `failed-precondition` where CRIU is missing or can't work
 * on this host or with this container, in its own words.
 */
export async function checkpoint(
  handler: RuntimeHandler,
  root: string,
  id: string,
  { imageDir, workDir }: CheckpointPaths,
  { signal }: CallOptions = {},
): Promise<void> {
  const doing = `checkpoint container ${id}`;
  if (findTool('criu') === undefined) {
    throw new RuntimeError('failed-precondition', `${doing}: ${missingTool('criu')}`);
  }
  const args = [
    ...(['checkpoint', '--leave-running', '--file-locks', '--image-path', imageDir] as const),
    ...['--work-path', workDir, id],
  ] as const;
  try {
    const result = await runOci(handler, root, args, signal);
    if (result.exitCode !== 0) {
      const words = await whyOf(workDir, 'dump.log');
      const cause = ociFailure(doing, handler, 'checkpoint', result);
      throw new RuntimeError('failed-precondition', `${messageOf(cause)}${words}`);
    }
  } catch (error) {
    // A runtime that was killed half-way leaves the container frozen.
    await runOci(handler, root, ['resume', id]).catch(() => undefined);
    throw error;
  }
}

/** CRIU's own errors, and those of `criu check` where the host is to blame; starts with a separator. */
export async function whyOf(workDir: string, log: string): Promise<string> {
  const text = await readFile(join(workDir, log), 'utf8').catch((error: unknown) => {
    if (isMissing(error)) {
      return '';
    }
    throw error;
  });
  const said = errorsOf(text);
  const host = await hostProblem();
  return [
    ...(said === '' ? [] : [`; criu says: ${said}`]),
    ...(host === undefined ? [] : [`; criu can't work on this host: ${host}`]),
  ].join('');
}

/** What `criu check` complains of; undefined when it finds nothing, or can't be run at all. */
async function hostProblem(): Promise<string | undefined> {
  try {
    const result = await run('criu', ['check'], { env: runtimeEnvironment(), timeoutMs: 30_000 });
    if (result.exitCode === 0) {
      return undefined;
    }
    const text = `${result.stdout.toString()}\n${result.stderr.toString()}`;
    return errorsOf(text) || `criu check: exit code ${result.exitCode}`;
  } catch {
    return undefined;
  }
}

/** The lines of a log of CRIU that tell of errors, without time and place in its source. */
export function errorsOf(log: string): string {
  const lines = log.split('\n').flatMap((line) => {
    const words = /(?:^|\)\s+(?:\d+: )?)Error \([^)]*\):? ?(.*)$/.exec(line)?.[1]?.trim();
    return words === undefined || words === '' ? [] : [words];
  });
  return [...new Set(lines)].join('; ').slice(0, maxWordsLength);
}
