import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openStore } from '@gantry/store';
import { Paths } from '../paths.ts';
import { migrations } from '../store/migrations.ts';
import {
  containerStatus,
  type Node,
  newNode,
  runPod,
  startContainer,
  startOn,
} from '../testing.ts';

function damage(node: Node, sql: string, ...values: (string | Uint8Array)[]): void {
  using store = openStore(new Paths(node.config).records, { migrations });
  assert.equal(Number(store.prepare(sql).run(...values).changes), 1);
}

/** What the faked host knows of by itself: for mounts and namespaces the real one's files are looked at. */
function left({ host }: Node): readonly string[] {
  return host.leftovers().filter((word) => /^(container|address|root|exit)/.test(word));
}

const nonsense = new Uint8Array([0xff, 0xff, 0xff]);

for (const [what, column, value] of [
  ['facts that end early', 'facts', '{"name":"x'],
  ['facts that say nothing', 'facts', '{}'],
  ['facts that are none', 'facts', 'null'],
  ['a config that is no message', 'config', nonsense],
  ['an empty config', 'config', new Uint8Array()],
] as const) {
  test(`a pod with ${what} costs no other pod anything, and is removed from the host`, async (t) => {
    const node = await newNode(t);
    const first = await startOn(t, node);
    const whole = await runPod(first, 'whole');
    const kept = await startContainer(first, whole, 'kept');
    const broken = await runPod(first, 'broken');
    await startContainer(first, broken, 'lost');
    first.crash();
    damage(node, `UPDATE sandboxes SET ${column} = ? WHERE id = ?`, value, broken);

    const second = await startOn(t, node);
    await second.service.reconciliation.finished;
    const { items } = await second.call('listPodSandbox', {});
    assert.deepEqual(
      items.map(({ id }) => id),
      [whole],
    );
    assert.equal((await containerStatus(second, kept)).id, kept);
    assert.ok(!left(node).some((word) => word.includes(broken)), broken);
    assert.notEqual(await runPod(second, 'broken'), broken);
  });

  test(`a container with ${what} is removed from the host, and its pod stays`, async (t) => {
    const node = await newNode(t);
    const first = await startOn(t, node);
    const pod = await runPod(first);
    const broken = await startContainer(first, pod, 'broken');
    const kept = await startContainer(first, pod, 'kept');
    first.crash();
    damage(node, `UPDATE containers SET ${column} = ? WHERE id = ?`, value, broken);

    const second = await startOn(t, node);
    await second.service.reconciliation.finished;
    const { containers } = await second.call('listContainers', {});
    assert.deepEqual(
      containers.map(({ id }) => id),
      [kept],
    );
    assert.ok(!left(node).some((word) => word.includes(broken)), broken);
    assert.notEqual(await startContainer(second, pod, 'broken'), broken);
    // Its events, with what was known of it, are no trouble either.
    second.world.records.events.after(0, 100);
    await second.call('removePodSandbox', { podSandboxId: pod });
  });
}
