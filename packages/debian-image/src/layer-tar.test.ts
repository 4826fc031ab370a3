import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ImageFile, writeTar } from './layer-tar.ts';

function tar(t: TestContext, files: readonly ImageFile[], ...args: string[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'layer-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'layer.tar'), writeTar(files));
  return execFileSync('tar', ['--numeric-owner', '-f', join(dir, 'layer.tar'), ...args], {
    encoding: 'utf8',
    env: { TZ: 'UTC', PATH: process.env['PATH'], LC_ALL: 'C' },
  });
}

test('GNU tar lists every kind of entry with its mode, owner and time', (t) => {
  const listing = tar(
    t,
    [
      { type: 'file', path: '/b/suid', content: 'x', mode: 0o4755, uid: 7, gid: 8, mtime: 60 },
      { type: 'hardlink', path: 'a-link', target: 'b/suid' },
      { type: 'symlink', path: 's', target: '../x' },
      { type: 'character-device', path: 'null', major: 1, minor: 3, mode: 0o666 },
      { type: 'fifo', path: 'pipe' },
      { type: 'directory', path: 'tmp', mode: 0o1777 },
    ],
    '-tv',
  );
  assert.deepEqual(
    listing
      .trim()
      .split('\n')
      .map((l) => l.replaceAll(/ +/g, ' ')),
    [
      'drwxr-xr-x 0/0 0 1970-01-01 00:00 b/',
      '-rwsr-xr-x 7/8 1 1970-01-01 00:01 b/suid',
      'crw-rw-rw- 0/0 1,3 1970-01-01 00:00 null',
      'prw-r--r-- 0/0 0 1970-01-01 00:00 pipe',
      'lrwxrwxrwx 0/0 0 1970-01-01 00:00 s -> ../x',
      'drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/',
      'hrw-r--r-- 0/0 0 1970-01-01 00:00 a-link link to b/suid',
    ],
  );
});

test('names of any length and extended attributes survive', (t) => {
  const path = `${'d'.repeat(90)}/${'é'.repeat(100)}`;
  const dir = mkdtempSync(join(tmpdir(), 'layer-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file: ImageFile = {
    type: 'file',
    path,
    content: 'kept',
    xattrs: { 'user.note': Buffer.from('hi') },
  };
  tar(t, [file, { type: 'symlink', path: 'l', target: 'x'.repeat(300) }], '-x', '-C', dir);
  assert.equal(readFileSync(join(dir, path), 'utf8'), 'kept');
  assert.match(tar(t, [file], '-tvv', '--xattrs'), /x: +2 user\.note/);
});

test('the same files in another order give the same bytes', () => {
  const a: ImageFile = { type: 'file', path: 'a/x', content: '1' };
  const b: ImageFile = { type: 'file', path: 'b', content: Buffer.from('2') };
  assert.deepEqual(writeTar([a, b]), writeTar([b, a]));
});

test('a path that is there twice, or is none, is refused', () => {
  const a: ImageFile = { type: 'file', path: 'a', content: '' };
  assert.throws(() => writeTar([a, { ...a, path: '/a' }]), /"a" is there twice/);
  assert.throws(() => writeTar([{ ...a, path: '/' }]), { kind: 'invalid-argument' });
});
