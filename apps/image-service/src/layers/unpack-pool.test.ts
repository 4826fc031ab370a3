import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { tarOf } from '@gantry/tar/testing';
import type { LayerSpec } from '../ports.ts';
import { digestOfBytes } from '../testing/test-image.ts';
import { testLimits } from '../testing/test-limits.ts';
import { UnpackPool } from './unpack-pool.ts';

const never = new AbortController().signal;

function startPool(t: TestContext, size: number): { pool: UnpackPool; dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-pool-'));
  const pool = new UnpackPool(size);
  t.after(async () => {
    await pool[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  return { pool, dir };
}

async function* pieces(...all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

function layerOf(bytes: number) {
  const tar = tarOf([{ path: 'data', data: randomBytes(bytes) }]);
  const blob = gzipSync(tar, { level: 1 });
  const layer: LayerSpec = {
    diffId: digestOfBytes(tar),
    digest: digestOfBytes(blob),
    size: blob.length,
  };
  return { tar, blob, layer };
}

const limits = testLimits(1 << 30);

test('a layer of many times the memory between the threads arrives whole', async (t) => {
  const { pool, dir } = startPool(t, 1);
  const { tar, blob, layer } = layerOf(5_000_000);
  for (const [name, source] of [
    ['at-once', pieces(blob)],
    ['in-pieces', pieces(blob.subarray(0, 262_144), blob.subarray(262_144))],
  ] as const) {
    const directory = join(dir, name);
    await pool.run({ kind: 'keep', layer, directory, limits }, source, never);
    assert.ok(readFileSync(join(directory, 'layer.tar')).equals(tar));
  }
});

test('what a failed layer had still to send does not reach the next one on its thread', async (t) => {
  const { pool, dir } = startPool(t, 1);
  const { tar, blob, layer } = layerOf(200_000);
  const much = randomBytes(4_000_000);
  for (let round = 0; round < 5; round++) {
    const [failed, whole] = [join(dir, `failed-${round}`), join(dir, `whole-${round}`)];
    // Fails before it has taken anything.
    mkdirSync(failed);
    const results = await Promise.allSettled([
      pool.run({ kind: 'keep', layer, directory: failed, limits }, pieces(much), never),
      pool.run({ kind: 'keep', layer, directory: whole, limits }, pieces(blob), never),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'fulfilled'],
    );
    assert.ok(readFileSync(join(whole, 'layer.tar')).equals(tar));
  }
});

test('a source that has nothing to give yet keeps no thread from others', async (t) => {
  const { pool, dir } = startPool(t, 1);
  const { blob, layer } = layerOf(1000);
  const { promise: registryAnswers, resolve: answer } = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    await registryAnswers;
    yield blob;
  }
  const [first, second] = [join(dir, 'first'), join(dir, 'second')];
  const waiting = pool.run({ kind: 'keep', layer, directory: first, limits }, slow(), never);
  await pool.run({ kind: 'keep', layer, directory: second, limits }, pieces(blob), never);
  assert.equal(existsSync(first), false);
  answer();
  await waiting;
  assert.ok(existsSync(first));
});

test('a source is closed however its job ends, also before it got a thread', async (t) => {
  const { pool, dir } = startPool(t, 1);
  const { blob, layer } = layerOf(1000);
  let closed = 0;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield blob.subarray(0, 100);
      yield blob.subarray(100);
    } finally {
      closed += 1;
    }
  }
  const work = (name: string) =>
    ({ kind: 'keep', layer, directory: join(dir, name), limits }) as const;
  await pool.run(work('whole'), watched(), never);
  const reason = new Error('stopped');
  await assert.rejects(pool.run(work('aborted'), watched(), AbortSignal.abort(reason)), reason);
  assert.equal(closed, 2);
});
