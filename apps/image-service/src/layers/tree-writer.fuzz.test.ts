import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import { TarReader } from '@gantry/tar';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { type TestEntry, tarOf } from '@gantry/tar/testing';
import { TreeWriter } from './tree-writer.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root';
/** More by hand: `GANTRY_FUZZ_ROUNDS=100000`. */
const rounds = Number(process.env['GANTRY_FUZZ_ROUNDS'] ?? 400);
const names = ['a', 'b', 'c', '..', '.', '', '.wh.a', '.wh.b', '.wh..wh..opq', 'outside'];
const types = ['file', 'directory', 'symlink', 'hardlink', 'fifo'] as const;

/** A small generator with a seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % below;
  };
}

function archiveOf(seed: number): TestEntry[] {
  const random = randomOf(seed);
  const pathOf = (): string => {
    const parts = Array.from({ length: 1 + random(4) }, () => names[random(names.length)] ?? '');
    return `${random(5) === 0 ? '/' : ''}${parts.join('/')}`;
  };
  return Array.from({ length: 2 + random(12) }, () => {
    const type = types[random(types.length)] ?? 'file';
    const isLink = type === 'symlink' || type === 'hardlink';
    return {
      type,
      path: pathOf(),
      ...(isLink ? { linkTarget: `${'../'.repeat(random(6))}${pathOf()}` } : {}),
      ...(type === 'file' ? { data: 'spoiled' } : {}),
    };
  });
}

test(`no archive of ${rounds} reaches out of its root, or fails but by a named entry`, {
  skip,
}, (t) => {
  const top = mkdtempSync(join(tmpdir(), 'gantry-fuzz-'));
  t.after(() => rmSync(top, { recursive: true, force: true }));
  const outside = join(top, 'outside');
  mkdirSync(join(outside, 'a'), { recursive: true });
  writeFileSync(join(outside, 'b'), 'untouched');
  let extracted = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const root = join(top, 'x', 'root');
    mkdirSync(root, { recursive: true });
    const writer = new TreeWriter(root);
    const reader = new TarReader(writer);
    try {
      reader.push(tarOf(archiveOf(seed)));
      reader.finish();
      writer.finish();
      extracted += 1;
    } catch (error) {
      assert.ok(error instanceof RuntimeError, `seed ${seed}: ${String(error)}`);
      assert.equal(
        error.kind,
        'invalid-argument',
        `seed ${seed}: ${error.message} ${String(error.cause)}`,
      );
    } finally {
      writer.close();
    }
    assert.deepEqual(readdirSync(top).sort(), ['outside', 'x'], `seed ${seed}`);
    assert.deepEqual(readdirSync(join(top, 'x')), ['root'], `seed ${seed}`);
    assert.deepEqual(readdirSync(outside).sort(), ['a', 'b'], `seed ${seed}`);
    assert.equal(readFileSync(join(outside, 'b'), 'utf8'), 'untouched', `seed ${seed}`);
    rmSync(join(top, 'x'), { recursive: true, force: true });
  }
  // Most must get far enough to try.
  assert.ok(extracted > rounds / 20, `${extracted} of ${rounds}`);
});
