import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, RuntimeError } from '@gantry/errors';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { padded, type TestEntry, tarOf, withChecksum } from '@gantry/tar/testing';
import { decodeIndex } from './decode-index.ts';
import type { LayerDirectory } from './layer-tree.ts';
import { devicesOf, dumpImage, layerOf, type TestLayer, treesOf } from './testing.ts';
import { buildImage } from './write-image.ts';

/** More by hand: `GANTRY_FUZZ_ROUNDS=100000`. */
const rounds = Number(process.env['GANTRY_FUZZ_ROUNDS'] ?? 400);
const names = ['a', 'b', 'c', '..', '.', '', '.wh.a', '.wh.b', '.wh..wh..opq', 'long'.repeat(50)];
const types = ['file', 'directory', 'symlink', 'hardlink', 'fifo', 'char'] as const;

/** A small generator with a seed, so that a failure can be had again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % below;
  };
}

function entriesOf(random: (below: number) => number): TestEntry[] {
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
      mode: random(0o10000),
      ...(isLink ? { linkTarget: `${'../'.repeat(random(3))}${pathOf()}` } : {}),
      ...(type === 'file' ? { data: 'x'.repeat(random(2000)) } : {}),
      ...(random(4) === 0 ? { xattrs: { 'trusted.x': 'y'.repeat(random(900)) } } : {}),
    };
  });
}

function layerOrNothing(random: (below: number) => number): TestLayer | undefined {
  try {
    return layerOf(tarOf(entriesOf(random)));
  } catch (error) {
    assert.equal(kindOf(error), 'invalid-argument');
    return undefined;
  }
}

test(`${rounds} images of random layers are whole, as our own reader checks them`, () => {
  let images = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const random = randomOf(seed);
    const layers = Array.from({ length: 1 + random(4) }, () => layerOrNothing(random));
    const kept = layers.filter((layer) => layer !== undefined);
    const image = buildImage(treesOf(kept));
    try {
      dumpImage(image.bytes, devicesOf(image, kept));
    } catch (cause) {
      assert.fail(new Error(`seed ${seed}`, { cause }));
    }
    images += kept.length === 0 ? 0 : 1;
  }
  assert.ok(images > rounds / 4);
});

test(`no index that was changed in ${rounds} places passes for one, or fails without a word`, () => {
  const { index } = layerOf(
    tarOf(
      entriesOf(randomOf(4)).map((entry, i) => ({
        ...entry,
        path: `d/${i}`,
        type: 'file' as const,
      })),
    ),
  );
  for (let seed = 1; seed <= rounds; seed++) {
    const random = randomOf(seed);
    const bad = Buffer.from(index.subarray(0, 1 + random(index.length)));
    for (let i = 0; i <= random(4); i++) {
      bad[random(bad.length)] = random(256);
    }
    if (!bad.equals(index)) {
      assert.throws(() => decodeIndex(bad, 0), { kind: 'internal' });
    }
  }
});

test(`${rounds} tars with bytes changed at random give a whole image or one clear error`, () => {
  const tar = tarOf([
    ...entriesOf(randomOf(7)).map((entry, i) => ({
      ...entry,
      path: `d/${i}`,
      type: 'file' as const,
    })),
    { path: `long/${'n'.repeat(150)}`, data: 'x', xattrs: { 'user.a': 'b' } },
    { path: 'hard', type: 'hardlink', linkTarget: 'd/0' },
    {
      path: 'sparse',
      data: Buffer.concat([padded(Buffer.from('2\n0\n512\n4096\n100\n')), Buffer.alloc(612, 'x')]),
      pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '5000' },
    },
  ]);
  const headers = [...tar.keys()].filter(
    (at) => at % 512 === 257 && tar.toString('latin1', at, at + 5) === 'ustar',
  );
  for (let seed = 1; seed <= rounds; seed++) {
    const random = randomOf(seed);
    const bad = Buffer.from(tar.subarray(0, random(3) === 0 ? random(tar.length) : tar.length));
    for (let i = 0; i <= random(4); i++) {
      const header = (headers[random(headers.length)] ?? 257) - 257;
      // Half of them in headers that still have a right checksum, so that they get further.
      bad[random(2) === 0 ? random(bad.length) : header + random(512)] = random(256);
      if (header + 512 <= bad.length) {
        withChecksum(bad.subarray(header, header + 512));
      }
    }
    try {
      const kept = layerOf(bad, 1 + random(2000));
      const image = buildImage(treesOf([kept]));
      // A sparse file may have become too large to be looked at byte by byte.
      const largest = Math.max(...treesOf([kept]).flatMap(({ root }) => sizesIn(root)), 0);
      if (largest < 1 << 24) {
        dumpImage(image.bytes, devicesOf(image, [kept]));
      }
    } catch (error) {
      assert.ok(
        error instanceof RuntimeError && kindOf(error) !== 'internal',
        `seed ${seed}: ${String(error)}`,
      );
    }
  }
});

function sizesIn(directory: LayerDirectory): number[] {
  return [...directory.children.values()].flatMap((node) =>
    node.type === 'directory' ? sizesIn(node) : node.type === 'leaf' ? [node.inode.size] : [],
  );
}
