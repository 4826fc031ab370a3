import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind } from '@gantry/errors';
import { directoryUsage, resolveInRoot, statFilesystem, writeFileAtomic } from './index.ts';

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('a file is replaced as a whole, with exactly its mode and nothing beside it', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a');
  await writeFileAtomic(path, 'one');
  const old = statSync(path).ino;
  await writeFileAtomic(path, 'two', { mode: 0o666, durable: true });
  assert.equal(readFileSync(path, 'utf8'), 'two');
  assert.equal(statSync(path).mode & 0o777, 0o666);
  assert.notEqual(statSync(path).ino, old);
  assert.deepEqual(readdirSync(dir), ['a']);
});

test('a write that fails leaves no temporary file', async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'a', 'b'), { recursive: true });
  await assert.rejects(writeFileAtomic(join(dir, 'a'), 'x'));
  assert.deepEqual(readdirSync(dir), ['a']);
});

test('a tree takes what du says, hard links once', async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'sub'));
  writeFileSync(join(dir, 'sub', 'big'), Buffer.alloc(300_000, 1));
  linkSync(join(dir, 'sub', 'big'), join(dir, 'again'));
  symlinkSync('big', join(dir, 'sub', 'link'));
  const [kib] = execFileSync('du', ['-sk', dir], { encoding: 'utf8' }).split('\t');
  const [inodes] = execFileSync('du', ['-s', '--inodes', dir], { encoding: 'utf8' }).split('\t');
  const usage = await directoryUsage(dir);
  assert.equal(usage.bytes, Number(kib) * 1024);
  assert.equal(usage.inodes, Number(inodes));
  assert.deepEqual(await directoryUsage(join(dir, 'none')), { bytes: 0, inodes: 0 });
});

test('the room of a file system adds up', async () => {
  const s = await statFilesystem('/');
  assert.ok(s.totalBytes > s.usedBytes && s.usedBytes > 0);
  assert.ok(s.availableBytes <= s.totalBytes - s.usedBytes);
  assert.ok(s.totalInodes >= s.freeInodes);
});

test('a path in a root never leads out of it', async (t) => {
  const root = join(tempDir(t), 'root');
  mkdirSync(join(root, 'etc', 'deep'), { recursive: true });
  const links: Record<string, string> = {
    absolute: '/etc',
    up: '../../../../etc',
    'etc/deep/out': '../../../../../../tmp',
    chain: 'absolute/deep',
    dangling: '/none/../etc',
    proc: '/proc/self/root',
  };
  for (const [name, target] of Object.entries(links)) {
    symlinkSync(target, join(root, name));
  }
  const expected: Record<string, string> = {
    '/etc/passwd': 'etc/passwd',
    'absolute/x': 'etc/x',
    'up/x': 'etc/x',
    '../../../x': 'x',
    'etc/deep/out/x': 'tmp/x',
    'chain/../y': 'etc/y',
    'dangling/x': 'etc/x',
    'none/../../..//./z': 'z',
    '/': '.',
  };
  // proc is a link to /proc/self/root in the root, and there /proc is that link again: a loop.
  await assert.rejects(resolveInRoot(root, 'proc/etc/shadow'), /too many levels/);
  for (const [path, inside] of Object.entries(expected)) {
    assert.equal(await resolveInRoot(root, path), join(root, inside), path);
  }
});

test('a loop of links and a NUL are bad input', async (t) => {
  const root = tempDir(t);
  symlinkSync('b', join(root, 'a'));
  symlinkSync('a', join(root, 'b'));
  await assert.rejects(resolveInRoot(root, 'a/x'), (e) => isKind(e, 'invalid-argument'));
  await assert.rejects(resolveInRoot(root, 'x\0y'), (e) => isKind(e, 'invalid-argument'));
});
