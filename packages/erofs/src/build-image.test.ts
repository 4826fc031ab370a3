import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { kindOf, messageOf } from '@gantry/errors';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { padded, type TestEntry, tarOf } from '@gantry/tar/testing';
import { decodeIndex } from './decode-index.ts';
import { ErofsReader } from './read-image.ts';
import { type Dump, devicesOf, dumpImage, layerOf, treesOf } from './testing.ts';
import { buildImage } from './write-image.ts';

/** What an image of these layers shows. */
function show(...layers: readonly (readonly TestEntry[])[]): Dump {
  const kept = layers.map((entries) => layerOf(tarOf(entries)));
  const image = buildImage(treesOf(kept));
  return dumpImage(image.bytes, devicesOf(image, kept));
}
const names = (...layers: readonly (readonly TestEntry[])[]): string[] =>
  Object.keys(show(...layers)).filter((path) => path !== '');

/** The first thing that is wrong, with what led to it. */
function refuses(entries: readonly TestEntry[], message: RegExp): void {
  assert.throws(
    () => show(entries),
    (error) => kindOf(error) === 'invalid-argument' && message.test(messageOf(error)),
    String(message),
  );
}
const file = (path: string, data = path): TestEntry => ({ path, data });
const directory = (path: string, mode = 0o755): TestEntry => ({ path, type: 'directory', mode });
const link = (path: string, linkTarget: string): TestEntry => ({
  path,
  type: 'symlink',
  linkTarget,
});

test('an image without layers or entries is an empty directory', () => {
  assert.deepEqual(show(), { '': 'directory 755 0:0 0' });
  assert.deepEqual(names([], []), []);
});

test('whiteouts take away what is below them, and only that', () => {
  const below = [file('a/x'), file('a/y'), file('b/x'), file('c')];
  assert.deepEqual(names(below, [file('.wh.a'), file('b/.wh.x'), file('.wh.never')]), ['b', 'c']);
  assert.deepEqual(names(below, [file('a/new'), file('.wh.a')]), ['a', 'a/new', 'b', 'b/x', 'c']);
  assert.deepEqual(names(below, [file('.wh.a'), file('a/new'), file('.wh.b'), file('.wh.c')]), [
    'a',
    'a/new',
  ]);
  assert.deepEqual(names(below, [file('c', '2'), file('.wh.c'), file('.wh.a'), file('.wh.b')]), [
    'c',
  ]);
});

test('an opaque mark counts wherever it stands among the entries of its directory', () => {
  const below = [file('d/old'), file('d/sub/old')];
  for (const layer of [
    [file('d/.wh..wh..opq'), file('d/new')],
    [file('d/new'), file('d/.wh..wh..opq')],
    [directory('d'), file('d/new'), file('d/.wh..wh..opq')],
  ]) {
    assert.deepEqual(names(below, layer), ['d', 'd/new']);
  }
  assert.deepEqual(names(below, [file('.wh..wh..opq')]), []);
  assert.deepEqual(names(below, [file('d/.wh..wh.plnk'), file('d/.wh..wh.aufs')]).length, 4);
});

test('a name may change its kind from layer to layer', () => {
  const asDirectory = [file('n/inner')];
  assert.deepEqual(names(asDirectory, [file('n')]), ['n']);
  assert.deepEqual(names(asDirectory, [file('n')], asDirectory), ['n', 'n/inner']);
  assert.deepEqual(names([link('n', 'elsewhere')], asDirectory), ['n', 'n/inner']);
  assert.match(show(asDirectory, [link('n', 'elsewhere')])['n'] ?? '', /^symlink .* -> elsewhere/);
});

test('a directory that a layer names only in passing keeps the attributes it has below', () => {
  const top = show([directory('tmp', 0o1777)], [file('tmp/x')]);
  assert.match(top['tmp'] ?? '', /^directory 1777 /);
  assert.match(show([directory('tmp', 0o1777)], [directory('tmp', 0o700)])['tmp'] ?? '', / 700 /);
});

test('links of a layer are followed inside it, and never out of it', () => {
  assert.deepEqual(names([directory('usr/lib'), link('lib', 'usr/lib'), file('lib/x')]), [
    'lib',
    'usr',
    'usr/lib',
    'usr/lib/x',
  ]);
  const escapes = [link('a', '../../../..'), file('a/x'), file('../../y'), file('/z')];
  assert.deepEqual(names(escapes), ['a', 'x', 'y', 'z']);
  refuses([link('a', 'b'), link('b', 'a'), file('a/x')], /"a\/x".*too many/);
});

test('hard links are one inode that counts the names it still has', () => {
  const hardlink = (path: string, to: string): TestEntry => ({
    path,
    type: 'hardlink',
    linkTarget: to,
  });
  const below = [file('a'), hardlink('d/b', 'a'), hardlink('c', 'd/b')];
  // dumpImage compares the number that the inode tells with the names that it finds.
  assert.match(show(below)['d/b'] ?? '', /^hardlink .*-> a /);
  assert.match(show(below, [file('.wh.a')])['c'] ?? '', /^file /);
  for (const bad of ['missing', '.', 'd', 'a/b']) {
    refuses([file('a'), directory('d'), hardlink('x', bad)], /layer entry "x"/);
  }
});

test('what no file system would take is refused by name', () => {
  const bad: readonly (readonly [TestEntry, RegExp])[] = [
    [file(`d/${'n'.repeat(256)}`), /256 bytes/],
    [file(`${'n'.repeat(256)}/x`), /256 bytes/],
    [link('l', ''), /to nothing/],
    [link('l', 'x'.repeat(4096)), /4096 bytes/],
    [file('.wh.'), /whiteout of nothing/],
    [file('.wh...'), /whiteout of nothing/],
    [file('.'), /root must be a directory/],
    [{ path: 'dev', type: 'char', major: 4096, minor: 0 }, /out of range/],
    [{ path: 'f', xattrs: { 'user.': 'x' } }, /has no name/],
    [{ path: 'f', xattrs: { 'user.big': 'x'.repeat(65_536) } }, /65536 bytes/],
    [{ path: 'f', xattrs: { 'system.posix_acl_access': 'short' } }, /malformed/],
  ];
  for (const [entry, message] of bad) {
    refuses([entry], message);
  }
});

test('marks of overlayfs in a tar have no effect', () => {
  const entry = { ...directory('d'), xattrs: { 'trusted.overlay.opaque': 'y', 'user.k': 'v' } };
  const dump = show([file('d/below')], [entry, { path: 'gone', type: 'char', major: 0, minor: 0 }]);
  assert.deepEqual(Object.keys(dump), ['', 'd', 'd/below']);
  assert.match(dump['d'] ?? '', / user\.k=76$/);
});

test('a tree that would take too much memory is refused', () => {
  const deep = file(`${'a/'.repeat(2047)}x`);
  const many = Array.from({ length: 30 }, (_, i) => file(`${i}/${'a/'.repeat(2000)}x`));
  assert.equal(names([deep]).length, 2048);
  const loop = [directory('a'.repeat(200)), link('s', `${'b/'.repeat(1500)}`)];
  refuses([...loop, file(`s/${'c/'.repeat(1500)}x`)], /more than 2048 directories/);
  assert.throws(() => layerOf(tarOf(many), undefined, 10 << 20), { kind: 'resource-exhausted' });
});

test('an image that no reader would take is refused before it is written', () => {
  const kept = layerOf(tarOf(Array.from({ length: 200 }, (_, i) => file(`f${i}`))));
  assert.throws(() => buildImage(treesOf([kept]), 8192), { kind: 'resource-exhausted' });
});

test('only layers that something points into are devices', () => {
  const layers = [[file('a')], [file('b'), file('.wh.a')], [directory('d')], [file('e', '')]];
  const kept = layers.map((entries) => layerOf(tarOf(entries)));
  const image = buildImage(treesOf(kept));
  assert.deepEqual(image.devices, [{ layer: 1, isAuxiliary: false }]);
  assert.deepEqual(new ErofsReader(image.bytes).devices, [(kept[1]?.tar.length ?? 0) / 512]);
});

test('a damaged index is told as such, whichever bit it is', () => {
  const { index } = layerOf(tarOf([file('a'), directory('d'), file('d/b')]));
  for (let at = 0; at < index.length; at++) {
    const bad = Buffer.from(index);
    bad[at] = (bad[at] ?? 0) ^ 0x10;
    assert.throws(() => decodeIndex(bad, 0), { kind: 'internal', message: /layer index/ });
    assert.throws(() => decodeIndex(index.subarray(0, at), 0), { kind: 'internal' });
  }
});

test('a sparse file whose pieces are no whole blocks is copied out', () => {
  const expected = Buffer.alloc(9001);
  const pieces = [
    { offset: 0, text: 'a' },
    { offset: 1000, text: 'bcdefgh' },
    { offset: 5000, text: 'i'.repeat(1500) },
  ];
  for (const { offset, text } of pieces) {
    expected.write(text, offset);
  }
  const map = [pieces.length, ...pieces.flatMap(({ offset, text }) => [offset, text.length])];
  const tar = tarOf([
    {
      path: 'sparse',
      data: Buffer.concat([
        padded(Buffer.from(map.join('\n').concat('\n'))),
        Buffer.from(pieces.map(({ text }) => text).join('')),
      ]),
      pax: {
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 'f',
        'GNU.sparse.realsize': '9001',
      },
    },
    file('g'),
  ]);
  const kept = layerOf(tar, 700);
  const image = buildImage(treesOf([kept]));
  assert.deepEqual(image.devices, [
    { layer: 0, isAuxiliary: true },
    { layer: 0, isAuxiliary: false },
  ]);
  const digest = createHash('sha256').update(expected).digest('hex');
  const dump = dumpImage(image.bytes, devicesOf(image, [kept]));
  assert.match(dump['f'] ?? '', new RegExp(`^file 644 0:0 size 9001 ${digest.slice(0, 12)} `));
});
