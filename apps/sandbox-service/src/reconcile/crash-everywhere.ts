import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Node, newNode, startOn, type TestService } from '../testing.ts';

/*
 * An instance is killed at each call that it makes of the host, before and
 * after the call has had its effect; another one then starts on what is left.
 */

export interface Scene {
  readonly node: Node;
  readonly first: TestService;
  readonly sandbox: string;
  readonly container: string;
}

type Act = (scene: Scene) => Promise<unknown>;

type Infra = 'pause' | 'none';

async function setUp(
  t: TestContext,
  prepare: (service: TestService) => Promise<string[]>,
  infra: Infra,
) {
  const node = await newNode(t, { infra });
  const first = await startOn(t, node);
  await first.service.reconciliation.finished;
  const [sandbox = '', container = ''] = await prepare(first);
  return { node, first, sandbox, container };
}

/** How many calls the act makes when nothing goes wrong. */
async function callsOf(
  t: TestContext,
  prepare: Parameters<typeof setUp>[1],
  act: Act,
  infra: Infra,
) {
  const scene = await setUp(t, prepare, infra);
  scene.node.host.calls.length = 0;
  await act(scene);
  return scene.node.host.calls.length;
}

/** Crashes at every call of `act`; `check` looks at what the next instance makes of it. */
export async function crashEverywhere(
  t: TestContext,
  prepare: Parameters<typeof setUp>[1],
  act: Act,
  check: (scene: Scene, second: TestService, where: string) => Promise<void>,
  infra: Infra = 'pause',
): Promise<void> {
  const calls = await callsOf(t, prepare, act, infra);
  assert.ok(calls > 0);
  for (let call = 1; call <= calls; call += 1) {
    for (const after of [false, true]) {
      const scene = await setUp(t, prepare, infra);
      const crashed = scene.node.host.crashAtCall(call, after);
      act(scene).catch(() => undefined);
      await crashed;
      scene.first.crash();
      const where = `${after ? 'after' : 'before'} ${scene.node.host.calls.at(-1) ?? ''}`;
      const second = await startOn(t, scene.node);
      await second.service.reconciliation.finished;
      assert.deepEqual(openOperations(second), [], where);
      await check(scene, second, where);
      await second.service[Symbol.asyncDispose]();
    }
  }
}

function openOperations(service: TestService): readonly string[] {
  const { records } = service.world;
  return records.sandboxes
    .list()
    .flatMap((sandbox) => records.journal.open(sandbox.id))
    .map((operation) => operation.kind);
}
