import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { completeConfig } from '@gantry/config';
import { identifyProcess, mountTmpfs, unmount } from '@gantry/host';
import { removeStackState, writeStackState } from '../supervisor/stack-state.ts';
import { testDir } from '../testing-dir.ts';
import { checkStack } from './check-stack.ts';

const asRoot = { skip: process.getuid?.() === 0 ? false : 'mounting needs root' };

test(
  'what is left of a stack that was killed is told, with what takes it away',
  asRoot,
  async (t) => {
    const dir = testDir(t);
    await using mounts = new AsyncDisposableStack();
    const config = completeConfig({ state_dir: dir });
    const own = await identifyProcess(process.pid);
    assert.ok(own !== undefined);
    const dead = { pid: own.pid, startTime: '1' };
    const state = {
      supervisor: dead,
      startedAtMs: 1,
      compact: false,
      children: [
        { name: 'image-service', process: own, starts: 1 },
        { name: 'nats-server', process: dead, starts: 1 },
      ],
    };
    await writeStackState(config, state);
    const found = async () => (await checkStack(config)).map(({ found }) => found);
    assert.deepEqual(await found(), [
      'not running: its supervisor was killed; image-service of it still run',
    ]);
    await removeStackState(config);

    for (const name of ['exits', 'other']) {
      const target = join(dir, name);
      mkdirSync(target);
      await mountTmpfs({ target, sizeBytes: 1 << 20, mode: 0o700 });
      mounts.defer(() => unmount(target, { detach: true }));
    }
    const [stack, left] = await checkStack(config);
    assert.deepEqual([stack?.verdict, left?.verdict], ['warn', 'warn']);
    assert.equal(
      left?.found,
      `of pods that are gone: ${dir}/exits is a tmpfs for the exit codes of pods, 1 more below ${dir}/`,
    );
    assert.match(left.fix ?? '', /gantry up takes them over.*umount .*\/other .*\/exits$/);
    // They are of pods that run on.
    mkdirSync(join(dir, 'sandboxes', 'a'), { recursive: true });
    assert.deepEqual(await found(), [
      'not running',
      '1 without services: they run on, and the next ./gantry up has them',
    ]);
  },
);
