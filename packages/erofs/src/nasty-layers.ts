import { randomBytes } from 'node:crypto';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { padded, type TestEntry, tarOf } from '@gantry/tar/testing';

/*
 * Layers that hold everything that layers have been seen to go wrong with, for
 * the comparison with GNU tar.
 */

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');

function base(): TestEntry[] {
  const sizes = [0, 1, 511, 512, 513, 4096, 4097, (1 << 20) + 1];
  return [
    { path: './', type: 'directory', mode: 0o755 },
    ...sizes.map((size) => ({ path: `sizes/${size}`, data: randomBytes(size) })),
    { path: 'hidden/', type: 'directory', mode: 0o711, mtime: 1_600_000_000 },
    { path: 'hidden/a', data: 'a' },
    { path: 'hidden/sub/b', data: 'b' },
    { path: 'opaque/old', data: 'old' },
    { path: 'opaque/deep/older', data: 'older' },
    { path: 'kind-1', data: 'a file that becomes a directory' },
    { path: 'kind-2/inner', data: 'in a directory that becomes a file' },
    { path: 'kind-3', type: 'symlink', linkTarget: 'kind-2' },
    { path: 'kind-4/', type: 'directory', mode: 0o750 },
    { path: 'kind-4/x', data: 'x' },
    { path: 'links/1', data: 'linked' },
    { path: 'links/2', type: 'hardlink', linkTarget: 'links/1' },
    { path: 'elsewhere/3', type: 'hardlink', linkTarget: './links/2' },
    { path: 'tmp/', type: 'directory', mode: 0o1777 },
    { path: `${'n'.repeat(80)}/${'m'.repeat(90)}`, data: 'by the ustar prefix' },
  ];
}

function names(): TestEntry[] {
  const odd = ['!', '-', 'a\nb', 'a"b', "a'b", '\x01\x7f', ' ', 'é', '日本', '..a', '...'];
  return [
    ...odd.map((path) => ({ path: Buffer.from(`odd/${path}`), data: 'odd' })),
    { path: Buffer.concat([Buffer.from('odd/'), bytes(0xff, 0xfe, 0x80)]), data: 'no UTF-8' },
    { path: `long/${'l'.repeat(255)}`, data: '255' },
    { path: `long/${'é'.repeat(127)}`, data: '254 bytes' },
    {
      path: `${'level-of-directories-that-go-down-and-down-to-the-end/'.repeat(60)}x`,
      data: 'deep',
    },
    ...Array.from({ length: 5000 }, (_, i) => ({
      path: `many/entry-${i * 7919}`,
      data: i % 3 === 0 ? '' : String(i),
    })),
  ];
}

function attributes(): TestEntry[] {
  return [
    { path: 'modes/setuid', mode: 0o4755, data: 'x' },
    { path: 'modes/setgid', mode: 0o2755, data: 'x' },
    { path: 'modes/sticky', type: 'directory', mode: 0o1777 },
    { path: 'modes/none', mode: 0, data: 'x' },
    { path: 'modes/owner', uid: 2_000_000, gid: 2_000_001, data: 'x' },
    { path: 'modes/large', data: 'x', pax: { uid: '3000000000', gid: '2000000000' } },
    { path: 'times/zero', mtime: 0, data: 'x' },
    { path: 'times/nanos', data: 'x', pax: { mtime: '1350244992.023960108' } },
    { path: 'times/negative', data: 'x', pax: { mtime: '-123.25' } },
    { path: 'times/late', data: 'x', pax: { mtime: '5000000000.5' } },
    { path: 'dev/block', type: 'block', major: 8, minor: 1, mode: 0o660, gid: 6 },
    { path: 'dev/char', type: 'char', major: 259, minor: 70_000 },
    { path: 'dev/fifo', type: 'fifo', mode: 0o600 },
    { path: 'xattrs/capability', data: 'x', xattrs: { 'security.capability': capability } },
    { path: 'xattrs/many', data: 'x', xattrs: { 'user.a': 'b\nc=d', 'trusted.t': bytes(0, 1, 0) } },
    { path: 'xattrs/long', data: 'x', xattrs: { 'user.long': randomBytes(3000) } },
    { path: 'xattrs/directory', type: 'directory', xattrs: { 'user.on': 'directory' } },
    { path: 'xattrs/symlink', type: 'symlink', linkTarget: 'x', xattrs: { 'trusted.l': 'l' } },
    ...[1, 60, 443, 444, 448, 449, 512, 513, 1024, 4095].map((length) => ({
      path: `symlinks/${length}`,
      type: 'symlink' as const,
      linkTarget: 'x/'.repeat(2048).slice(0, length),
    })),
  ];
}

function changes(): TestEntry[] {
  return [
    { path: '.wh.hidden' },
    { path: 'hidden/new', data: 'made anew after its whiteout' },
    { path: '.wh.never-there' },
    { path: 'opaque/new', data: 'new' },
    { path: 'opaque/.wh..wh..opq' },
    { path: 'kind-1/', type: 'directory' },
    { path: 'kind-1/inner', data: 'now a directory' },
    { path: 'kind-2', data: 'now a file' },
    { path: 'kind-3/', type: 'directory', mode: 0o700 },
    { path: 'kind-4', type: 'symlink', linkTarget: 'kind-1' },
    { path: 'links/.wh.1' },
    { path: 'tmp/in-passing', data: 'its directory keeps its mode' },
    { path: 'sizes/512', data: 'smaller now' },
    { path: 'modes/', type: 'directory', mode: 0o700 },
    { path: 'twice', data: 'first' },
    { path: 'twice', type: 'symlink', linkTarget: 'second' },
    { path: 'here/x', data: 'x' },
    { path: 'here/.wh.x' },
  ];
}

function changesBack(): TestEntry[] {
  return [
    { path: 'kind-1', data: 'a file again' },
    { path: 'kind-2/', type: 'directory', mode: 0o755 },
    { path: 'kind-2/inner', data: 'a directory again' },
    { path: 'kind-4/', type: 'directory', mode: 0o711 },
    { path: 'elsewhere/.wh.3' },
    { path: 'many/.wh.entry-0' },
    { path: 'many/.wh.entry-7919' },
  ];
}

/** Sparse files in the PAX 1.0 form. */
function sparse(): TestEntry[] {
  const pieces = (data: readonly [number, number][], size: number): TestEntry => {
    // GNU tar ends each map so, and takes the size from it.
    const segments = [...data, [size, 0] as const];
    const map = padded(Buffer.from([segments.length, ...segments.flat()].join('\n').concat('\n')));
    const total = segments.reduce((sum, [, length]) => sum + length, 0);
    return {
      path: `sparse-${size}-${segments.length}`,
      data: Buffer.concat([map, randomBytes(total)]),
      pax: {
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': `sparse/${size}-${segments.length}`,
        'GNU.sparse.realsize': String(size),
      },
    };
  };
  return [
    pieces(
      [
        [4096, 4096],
        [40_960, 512],
      ],
      81_920,
    ),
    pieces(
      [
        [0, 512],
        [2048, 150],
      ],
      2198,
    ),
    pieces(
      [
        [3_000_000, 4096],
        [8_000_000, 0],
      ],
      8_000_000,
    ),
    pieces([], 1_000_000),
    pieces([[512, 512]], 4 << 20),
  ];
}

/** The same in a directory `below`, `a/`. */
function moved(entry: TestEntry, below: string): TestEntry {
  const under = (path: string | Buffer) => Buffer.concat([Buffer.from(below), Buffer.from(path)]);
  const { path, type, linkTarget, pax } = entry;
  const sparseName = pax?.['GNU.sparse.name'];
  return {
    ...entry,
    path: under(path),
    ...(type === 'hardlink' && linkTarget !== undefined ? { linkTarget: under(linkTarget) } : {}),
    ...(sparseName === undefined ? {} : { pax: { ...pax, 'GNU.sparse.name': under(sparseName) } }),
  };
}

/** The lowest first; all of it in the directory `below`, `a/`, if one is given. */
export function nastyLayers(below = ''): Buffer[] {
  return [base(), names(), attributes(), sparse(), changes(), changesBack()].map((layer) =>
    tarOf(layer.map((entry) => moved(entry, below))),
  );
}
