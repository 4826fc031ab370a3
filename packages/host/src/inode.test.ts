import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeNode, setTimes, setXattr, syncFilesystem } from './inode.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root';

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-inode-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('device numbers beyond one byte arrive whole', { skip }, (t) => {
  const path = join(temporary(t), 'node');
  makeNode(Buffer.from(path), 0o020600, 259, 70_000);
  assert.equal(
    execFileSync('stat', ['-c', '%t %T %F', path]).toString(),
    '103 11170 character special file\n',
  );
});

test('an error names the call and the reason', { skip }, (t) => {
  const path = Buffer.from(join(temporary(t), 'no/such'));
  assert.throws(() => setXattr(path, 'user.a', Buffer.from('b')), {
    code: 'ENOENT',
    message: /set xattr user\.a/,
  });
  assert.throws(() => makeNode(path, 0o010600, 0, 0), { code: 'ENOENT' });
});

test('names of any bytes and values with NUL are kept', { skip }, (t) => {
  const path = Buffer.concat([Buffer.from(`${temporary(t)}/`), Buffer.from([0xff, 0x0a])]);
  writeFileSync(path, '');
  setXattr(path, 'trusted.a', Buffer.from([1, 0, 2]));
  const shown = execFileSync(
    'python3',
    ['-c', 'import os,sys;print(os.getxattr(sys.stdin.buffer.read(),"trusted.a"))'],
    { input: path },
  );
  assert.equal(shown.toString(), "b'\\x01\\x00\\x02'\n");
});

test('times keep their nanoseconds, before 1970 too, and a link is not followed', (t) => {
  const dir = temporary(t);
  writeFileSync(join(dir, 'file'), '');
  symlinkSync('file', join(dir, 'link'));
  for (const nanos of [1_700_000_000_123_456_789n, -1_500_000_001n, 5_000_000_000_000_000_000n]) {
    setTimes(Buffer.from(join(dir, 'link')), nanos, nanos);
    assert.equal(lstatSync(join(dir, 'link'), { bigint: true }).mtimeNs, nanos);
  }
  assert.ok(lstatSync(join(dir, 'file')).mtimeMs > 1_700_000_000_000);
});

test('a file system is synced', async (t) => {
  await syncFilesystem(temporary(t));
});
