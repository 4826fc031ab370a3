import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setXattr } from '@gantry/host';
import { TarReader } from '@gantry/tar';
// oxlint-disable-next-line no-restricted-imports -- the package's own entry for tests
import { type TestEntry, tarOf } from '@gantry/tar/testing';
import { dumpTree } from '../testing/dump-tree.ts';
import { treeUsage } from './tree-usage.ts';
import { TreeWriter } from './tree-writer.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-tree-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function extract(archive: Buffer, root: string): TreeWriter {
  mkdirSync(root, { recursive: true });
  const writer = new TreeWriter(root);
  const reader = new TarReader(writer);
  try {
    reader.push(archive);
    reader.finish();
    writer.finish();
  } finally {
    writer.close();
  }
  return writer;
}

function extracted(t: TestContext, entries: readonly TestEntry[]) {
  const dir = temporary(t);
  const root = join(dir, 'root');
  const writer = extract(tarOf(entries), root);
  return { dir, root, writer, tree: dumpTree(root) };
}

// One of everything that GNU tar can bring back from a directory.
const nasty = `
  umask 022
  mkdir -p d/sub d/sticky deep; chmod 1777 d/sticky; chmod 2755 d/sub; chmod 0500 deep
  printf hello > d/file; chmod 4755 d/file; chown 3000000:2000000000 d/file
  ln d/file d/sub/hard; ln d/file zhard
  ln -s ../no/such d/dangling; ln -s d linkdir; ln -s "$(printf 'x%.0s' $(seq 1 1000))" longlink
  mknod char c 259 70000; mknod block b 7 1; mkfifo fifo; chmod 0602 fifo
  : > "$(printf 'bad\\377name')"; : > "$(printf 'new\\nline')"; : > "$(printf 'n%.0s' $(seq 1 255))"
  p=path; for i in $(seq 1 40); do p=$p/segment-of-a-deep-path-$i; done; mkdir -p $p; printf deep > $p/f
  truncate -s 3000000 sparse; printf end | dd of=sparse bs=1 seek=2000000 conv=notrunc 2>/dev/null
  for s in 0 1 511 512 513 4096 1048577; do head -c $s /dev/urandom > size$s; done
  touch -h -d '1965-04-03 02:01:00.123456789 UTC' d/dangling size1; touch -d '2039-01-01 00:00:00.5 UTC' size513
  touch -d '2001-01-01 UTC' d/sub d/sticky deep`;

function makeNasty(dir: string): void {
  execFileSync('sh', ['-ec', nasty], { cwd: dir });
  const capability = Buffer.from('AQAAAgAgAAAAAAAAAAAAAAAAAAA=', 'base64');
  setXattr(Buffer.from(`${dir}/size512`), 'security.capability', capability);
  setXattr(Buffer.from(`${dir}/d/file`), 'user.a', Buffer.from('b\nc'));
  setXattr(Buffer.from(`${dir}/d/sub`), 'trusted.own', Buffer.alloc(3000, 'x'));
}

for (const format of ['gnu', 'pax']) {
  test(`a tree is extracted as GNU tar does (${format})`, { skip }, (t) => {
    const dir = temporary(t);
    mkdirSync(join(dir, 'source'));
    makeNasty(join(dir, 'source'));
    const xattrs = format === 'pax' ? ['--xattrs', '--xattrs-include=*'] : [];
    const archive = join(dir, 'a.tar');
    execFileSync('tar', [
      '-C',
      join(dir, 'source'),
      `--format=${format}`,
      ...xattrs,
      '--sparse',
      '-cf',
      archive,
      '.',
    ]);
    mkdirSync(join(dir, 'gnu'));
    execFileSync('tar', [
      '-C',
      join(dir, 'gnu'),
      ...xattrs,
      '--same-owner',
      '-p',
      '--delay-directory-restore',
      '-xf',
      archive,
    ]);

    const writer = extract(readFileSync(archive), join(dir, 'ours'));

    const [ours, gnu] = [dumpTree(join(dir, 'ours')), dumpTree(join(dir, 'gnu'))];
    assert.deepEqual(ours, gnu);
    assert.ok(Object.keys(ours).length > 60);
    assert.equal(/user\.a=b\nc/.test(ours['d/file'] ?? ''), format === 'pax');
    assert.deepEqual(writer.implicitDirectories(), []);
  });
}

test('usage is what du counts, hard links once', { skip }, (t) => {
  const dir = temporary(t);
  execFileSync('sh', ['-ec', nasty], { cwd: dir });
  const [kib = ''] = execFileSync('du', ['-sk', dir]).toString().split('\t');
  const [inodes = ''] = execFileSync('du', ['-s', '--inodes', dir]).toString().split('\t');
  assert.deepEqual(treeUsage(dir), { bytes: Number(kib) * 1024, inodes: Number(inodes) });
});

test('whiteouts become devices 0:0 and opaque marks', { skip }, (t) => {
  const { tree } = extracted(t, [
    { path: 'a/.wh.gone' },
    { path: 'b/', type: 'directory' },
    { path: 'b/new', data: 'x' },
    { path: 'b/.wh..wh..opq' },
    { path: '.wh..wh.plnk/1' },
  ]);
  assert.match(tree['a/gone'] ?? '', /^char 0:0 /);
  assert.match(tree['b'] ?? '', /trusted\.overlay\.opaque=y/);
  assert.match(tree['b/new'] ?? '', /^file /);
  assert.equal(
    Object.keys(tree).some((path) => path.includes('.wh.')),
    true,
  );
});

test('a whiteout never hides what its own layer brings, before or after it', { skip }, (t) => {
  const { tree } = extracted(t, [
    { path: 'dir/', type: 'directory' },
    { path: 'dir/file', data: 'x' },
    { path: '.wh.dir' },
    { path: '.wh.later' },
    { path: 'later/', type: 'directory', mode: 0o700 },
    { path: '.wh.implied' },
    { path: 'implied/file', data: 'y' },
    { path: 'file', data: 'z' },
    { path: '.wh.file' },
  ]);
  for (const path of ['dir', 'later', 'implied']) {
    assert.match(tree[path] ?? '', /^directory .*trusted\.overlay\.opaque=y/, path);
  }
  assert.match(tree['later'] ?? '', / 700 /);
  assert.match(tree['dir/file'] ?? '', /^file /);
  assert.match(tree['implied/file'] ?? '', /^file /);
  assert.match(tree['file'] ?? '', /^file /);
});

test('later entries replace earlier ones of any type', { skip }, (t) => {
  const { tree, writer } = extracted(t, [
    { path: 'a', data: 'file' },
    { path: 'a/', type: 'directory', mtime: 5 },
    { path: 'a/b/c', data: 'x' },
    { path: 'a', type: 'symlink', linkTarget: 'z' },
    { path: 'f', data: 'one' },
    { path: 'f', data: 'two!' },
    { path: 'l', type: 'symlink', linkTarget: 'f' },
    { path: 'l', data: 'own' },
  ]);
  assert.match(tree['a'] ?? '', /^symlink .*-> z/);
  assert.match(tree['f'] ?? '', / size 4 /);
  assert.match(tree['l'] ?? '', /^file .* size 3 /);
  assert.deepEqual(writer.implicitDirectories(), ['']);
});

test('links on the way are followed inside the root and never out of it', { skip }, (t) => {
  const { dir, root, tree } = extracted(t, [
    { path: 'out', type: 'symlink', linkTarget: '../../../..' },
    { path: 'out/etc/escaped', data: 'x' },
    { path: 'abs', type: 'symlink', linkTarget: '/target' },
    { path: 'abs/file', data: 'y' },
    { path: '../../up', data: 'z' },
    { path: '/absolute', data: 'w' },
    { path: 'loop-free/../dotdot', data: 'v' },
    { path: 'h', type: 'hardlink', linkTarget: 'out/target/../target/file' },
  ]);
  for (const path of ['etc/escaped', 'target/file', 'up', 'absolute', 'dotdot', 'h']) {
    assert.match(tree[path] ?? '', /^(file|hardlink) /, path);
  }
  assert.deepEqual(readdirSync(dir), ['root']);
  assert.equal(existsSync(join(root, '..', 'up')), false);
});

test('marks of overlayfs in an archive are dropped', { skip }, (t) => {
  const { tree } = extracted(t, [
    {
      path: 'a/',
      type: 'directory',
      xattrs: {
        'trusted.overlay.opaque': 'y',
        'trusted.overlay.redirect': '/etc',
        'user.kept': 'k',
      },
    },
  ]);
  assert.doesNotMatch(tree['a'] ?? '', /overlay/);
  assert.match(tree['a'] ?? '', /user\.kept=k/);
});

test('directories that no entry describes are told', { skip }, (t) => {
  const { writer } = extracted(t, [
    { path: './', type: 'directory' },
    { path: 'a/b/c', data: 'x' },
    { path: 'a/', type: 'directory' },
  ]);
  assert.deepEqual(writer.implicitDirectories(), ['a/b']);
});

const refused: [name: string, entries: readonly TestEntry[], why: RegExp][] = [
  [
    'a link loop on the way',
    [{ path: 'a', type: 'symlink', linkTarget: 'a' }, { path: 'a/b' }],
    /"a\/b".*too many symbolic links/,
  ],
  ['a file as a parent', [{ path: 'a' }, { path: 'a/b' }], /parent in its path is not a directory/],
  [
    'a hard link out of the root',
    [{ path: 'h', type: 'hardlink', linkTarget: '../../../../etc/passwd' }],
    /no such directory/,
  ],
  [
    'a hard link to nothing',
    [{ path: 'h', type: 'hardlink', linkTarget: 'x' }],
    /hard link to "x", no file of this layer/,
  ],
  [
    'a hard link through a link',
    [
      { path: 'e', type: 'symlink', linkTarget: '/etc' },
      { path: 'h', type: 'hardlink', linkTarget: 'e/passwd' },
    ],
    /no such directory/,
  ],
  ['a file as the root', [{ path: './' }], /root must be a directory/],
  ['a whiteout of ..', [{ path: 'a/.wh...' }], /whiteout of nothing/],
  ['a whiteout of nothing', [{ path: '.wh.' }], /whiteout of nothing/],
  ['a name over 255 bytes', [{ path: 'n'.repeat(256) }], /name of 256 bytes/],
];

for (const [name, entries, why] of refused) {
  test(`a layer with ${name} is refused`, { skip }, (t) => {
    assert.throws(
      () => extracted(t, entries),
      (error: Error) => {
        const cause = error.cause instanceof Error ? error.cause.message : '';
        assert.match(`${error.message}: ${cause}`, why);
        return true;
      },
    );
  });
}
