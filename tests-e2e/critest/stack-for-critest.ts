import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { leaveHybrid } from '../harness/cgroup-mode.ts';
import type { Registry } from '../harness/registry.ts';
import { type Stack, startStack } from '../harness/stack.ts';
import type { Combination } from './combination.ts';

/** The registries that critest pulls from, each of which `registry` stands in for. */
const mirrored = ['registry.k8s.io', 'k8s.gcr.io', 'gcr.io'];

export interface CritestStack extends AsyncDisposable {
  readonly stack: Stack;
}

/**
 * Starts a stack with the runtime and infra of `combination`, which pulls what critest wants from `registry`;
 * `config` is put at the end of its config.toml.
 */
export async function startStackForCritest(
  combination: Combination,
  registry: Registry,
  config = '',
): Promise<CritestStack> {
  await using undo = new AsyncDisposableStack();
  if (combination.runtime === 'crun') {
    undo.use(await leaveHybrid());
  }
  const stack = undo.use(
    await startStack({
      defaultRuntime: combination.runtime,
      infra: combination.infra,
      busybox: false,
      config,
    }),
  );
  for (const name of mirrored) {
    const dir = join(stack.dir, 'certs.d', name);
    await mkdir(dir, { recursive: true });
    await writeFile(
      join(dir, 'hosts.toml'),
      `[host."http://${registry.host}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
  }
  const kept = undo.move();
  return { stack, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
