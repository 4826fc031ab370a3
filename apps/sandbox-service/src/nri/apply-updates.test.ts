import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ContainerEvictionSchema, ContainerUpdateSchema } from '@gantry/proto/nri';
import { AppliedUpdates } from './apply-updates.ts';
import type { PluginParts } from './plugins.ts';

function newApplied() {
  const logged: string[] = [];
  const stopped: string[] = [];
  const parts = {
    records: { containers: { find: () => undefined } },
    stops: {
      stop: (id: string) => {
        stopped.push(id);
        return Promise.resolve();
      },
    },
  } as unknown as PluginParts;
  const note = (_: object, message?: string): void => {
    logged.push(message ?? '');
  };
  return {
    applied: new AppliedUpdates(parts, { info: note, warn: note } as never),
    logged,
    stopped,
  };
}

test('a flood of updates of containers that are not there leaves others their turn, and the log short', async () => {
  const { applied, logged } = newApplied();
  const update = Array.from({ length: 10_000 }, (_, n) =>
    create(ContainerUpdateSchema, { containerId: `gone${n}` }),
  );
  let turns = 0;
  let isOver = false;
  const take = (): void => {
    turns++;
    if (!isOver) {
      setImmediate(take);
    }
  };
  setImmediate(take);
  const { failed } = await applied.apply({ update, evict: [], owners: [] });
  isOver = true;
  assert.equal(failed.length, 10_000);
  assert.ok(turns > 100, `${turns} turns`);
  assert.equal(logged.length, 51);
  assert.equal(logged.at(-1), 'more that plugins want has failed');
});

test('an eviction of a container that is not there says so, and stops nothing', async () => {
  const { applied, logged, stopped } = newApplied();
  const evict = [create(ContainerEvictionSchema, { containerId: 'gone', reason: 'hungry' })];
  const { reasons } = await applied.apply({ update: [], evict, owners: [] });
  assert.deepEqual(reasons, ['evict container gone: not found']);
  assert.deepEqual(logged, ['an eviction has failed']);
  assert.deepEqual(stopped, []);
});
