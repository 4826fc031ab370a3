import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '@gantry/oci';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages, temporaryDirectory } from '../testing/test-images.ts';
import { startProxy } from '../testing/test-proxy.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';
import { PullBoard, type PullReport } from './pull-board.ts';

const log = { warn: () => assert.fail('warned') };
const layers = [
  { diffId: 'sha256:a' as Digest, digest: 'sha256:1' as Digest, size: 100 },
  { diffId: 'sha256:b' as Digest, digest: 'sha256:2' as Digest, size: 50 },
];

async function openBoard(t: TestContext, directory: string, instance: string, now = 0) {
  const board = await PullBoard.open({
    directory,
    instance,
    clock: () => now,
    log,
    layer: (diffId) =>
      diffId === 'sha256:a'
        ? { received: 40, state: 'fetching' }
        : { received: 0, state: 'present' },
    intervalMs: 5,
  });
  t.after(() => board[Symbol.asyncDispose]());
  return board;
}

async function until(
  board: PullBoard,
  accept: (pulls: readonly PullReport[]) => boolean,
): Promise<readonly PullReport[]> {
  for (const end = Date.now() + 60_000; ; await delay(5)) {
    const pulls = await board.list();
    if (accept(pulls)) {
      return pulls;
    }
    assert.ok(Date.now() < end, JSON.stringify(pulls));
  }
}

test('the pulls of every instance show in every instance, oldest first', async (t) => {
  const directory = join(temporaryDirectory(t), 'pulls');
  const one = await openBoard(t, directory, 'one', 2000);
  const two = await openBoard(t, directory, 'two', 1000);
  const later = one.announce('later');
  later.setLayers(layers);
  const earlier = two.announce('earlier');
  earlier.passOver('mirror:5000', 'blob sha256:1: 3 bytes where its manifest tells 4');
  const pulls = await until(one, ({ length }) => length === 2);
  assert.deepEqual(await until(two, (list) => list.length === 2 && list[1]?.layers.length === 2), [
    {
      image: 'earlier',
      startedAt: 1000,
      instance: 'two',
      passedOver: ['mirror:5000: blob sha256:1: 3 bytes where its manifest tells 4'],
      layers: [],
    },
    {
      image: 'later',
      startedAt: 2000,
      instance: 'one',
      passedOver: [],
      layers: [
        { digest: 'sha256:1', size: 100, received: 40, state: 'fetching' },
        { digest: 'sha256:2', size: 50, received: 50, state: 'present' },
      ],
    },
  ]);
  assert.deepEqual(
    pulls.map(({ image }) => image),
    ['earlier', 'later'],
  );
  later[Symbol.dispose]();
  earlier[Symbol.dispose]();
  await until(one, ({ length }) => length === 0);
  await until(two, ({ length }) => length === 0);
});

test('what a process that died was pulling does not show, and its page goes', async (t) => {
  const directory = join(temporaryDirectory(t), 'pulls');
  await mkdir(directory);
  const pulls = [{ image: 'x', startedAt: 1, instance: 'dead', layers: [] }];
  const page = { process: { pid: process.pid, startTime: '1' }, pulls };
  await writeFile(join(directory, 'dead.json'), JSON.stringify(page));
  const board = await openBoard(t, directory, 'one');
  assert.deepEqual(await board.list(), []);
  assert.deepEqual(await readdir(directory), []);
});

test('a pull shows how far each layer is while it runs', { skip: cannotRun }, async (t) => {
  const registry = await startRegistry(t);
  const image = makeImage({
    layers: [[{ path: 'a', data: randomBytes(100_000) }], [{ path: 'b', data: 'x' }]],
    compression: 'none',
  });
  await registry.push(image, 'app', 'v1');
  const [slow = ''] = image.layerDigests;
  const gate = Promise.withResolvers<void>();
  const proxy = await startProxy(t, registry.host, ({ path, forward }) => {
    forward((answer, response) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      if (!path.includes(slow)) {
        answer.pipe(response);
        return;
      }
      // The first half, and the rest when the test says so.
      let sent = 0;
      void (async () => {
        for await (const chunk of answer as AsyncIterable<Buffer>) {
          const rest = Math.max(0, 50_000 - sent);
          response.write(chunk.subarray(0, rest));
          sent += chunk.length;
          if (sent >= 50_000) {
            await gate.promise;
          }
          response.write(chunk.subarray(rest));
        }
        response.end();
      })();
    });
  });
  const { images } = await startImages(t);
  const name = `${proxy.host}/app:v1`;
  const pulling = images.puller.pull(name, { signal });
  const [pull] = await until(images.board, ([first]) =>
    Boolean(
      first?.layers[0]?.received &&
        first.layers[0].received >= 50_000 &&
        first.layers[1]?.state === 'present',
    ),
  );
  assert.equal(pull?.image, name);
  assert.equal(pull.layers[0]?.state, 'fetching');
  assert.equal(pull.layers[0].received, 50_000);
  assert.ok(pull.layers[0].size > 100_000);
  gate.resolve();
  assert.equal(await pulling, image.id);
  assert.deepEqual(await images.board.list(), []);
});
