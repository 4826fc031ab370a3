import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeDirectoryApart } from './directory-apart.ts';

const { type, files } = statfsSync(tmpdir());
const isExt4 = type === 0xef53;
/** Where ext4 has many parts of the disk to choose from. */
const isLarge = files > 1_000_000;
const names = 'abcdefghijkl'.split('');

test('directories apart have the mode that was asked for, and their parent stays as it was', (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'gantry-apart-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  for (const name of names) {
    makeDirectoryApart(join(parent, name), 0o700);
    assert.equal(statSync(join(parent, name)).mode & 0o7777, 0o700);
  }
  assert.deepEqual(readdirSync(parent), names);
  if (isExt4) {
    assert.doesNotMatch(execFileSync('lsattr', ['-d', parent]).toString(), /^\S*T/);
  }
  if (isExt4 && isLarge) {
    // Neighbours have adjacent inodes.
    const inodes = readdirSync(parent).map((name) => statSync(join(parent, name)).ino);
    assert.ok(Math.max(...inodes) - Math.min(...inodes) > 1000, inodes.join(' '));
  }
});

test('a directory apart is made where the file system has no such flag', (t) => {
  const parent = mkdtempSync('/dev/shm/gantry-apart-');
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  makeDirectoryApart(join(parent, 'a'), 0o755);
  assert.equal(statSync(join(parent, 'a')).mode & 0o7777, 0o755);
});

test('a directory apart that can not be made is an error, and its parent stays as it was', (t) => {
  assert.throws(() => makeDirectoryApart('/no/such/directory', 0o700), { code: 'ENOENT' });
  const parent = mkdtempSync(join(tmpdir(), 'gantry-apart-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  makeDirectoryApart(join(parent, 'a'), 0o700);
  assert.throws(() => makeDirectoryApart(join(parent, 'a'), 0o700), { code: 'EEXIST' });
  if (isExt4) {
    assert.doesNotMatch(execFileSync('lsattr', ['-d', parent]).toString(), /^\S*T/);
  }
});
