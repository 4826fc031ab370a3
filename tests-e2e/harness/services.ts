import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { kindOf } from '@gantry/errors';
import type { Stack } from './stack.ts';
import { until } from './until.ts';

export type ServiceProgram =
  | 'cri-gateway'
  | 'image-service'
  | 'sandbox-service'
  | 'stream-server'
  | 'nri-broker';

/** The pids of the instances of one service of this stack, or of all in one, told by their command lines. */
export function pidsOf(
  stack: Stack,
  program: ServiceProgram | 'nats-server' | 'compact',
): readonly number[] {
  const names = { 'nats-server': 'nats-server', compact: '/compact.ts' };
  const name = program in names ? names[program as keyof typeof names] : `/${program}/`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const words = commandLine(pid);
      const mine = words.some((word) => word.includes(stack.dir));
      return mine && words.some((word) => word.includes(name));
    })
    .map(Number);
}

/** Kills every instance of the programs with SIGKILL, all at one moment. */
export function killServices(
  stack: Stack,
  ...programs: readonly (ServiceProgram | 'nats-server' | 'compact')[]
): readonly number[] {
  const pids = programs.flatMap((program) => pidsOf(stack, program));
  for (const pid of pids) {
    process.kill(pid, 'SIGKILL');
  }
  return pids;
}

/**
 * Waits until every service answers again after processes of this stack, or its NATS, were killed: each finds its way
 * back on its own, and that one answers says nothing of the others.
 */
export async function untilAllAnswer(stack: Stack): Promise<void> {
  const kindsOf = (...calls: readonly Promise<unknown>[]) =>
    Promise.all(
      calls.map((call) =>
        call.then(
          () => 'ok',
          (error: unknown) => kindOf(error),
        ),
      ),
    );
  await until(
    'the stack answers again',
    () =>
      kindsOf(
        stack.runtime.status({}).then(({ status }) => {
          assert.ok(status?.conditions.every((c) => c.status));
        }),
        stack.images.imageFsInfo({}),
        stack.runtime.execSync({ containerId: 'nobody', cmd: ['true'] }),
      ),
    ([runtime, images, streams]) => runtime === 'ok' && images === 'ok' && streams === 'not-found',
  );
}

/** The pids of every conmon that holds a container of this stack. */
export function conmonsOf(stack: Stack): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const words = commandLine(pid);
      return words[0]?.endsWith('conmon') === true && words.some((w) => w.includes(stack.dir));
    })
    .map(Number);
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
