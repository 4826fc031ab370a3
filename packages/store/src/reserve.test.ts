import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { type TestContext, test } from 'node:test';
import { openStore } from './open-store.ts';

const skip = getuid?.() === 0 ? false : 'needs root to mount a small file system';
const migrations = ['CREATE TABLE things (bytes BLOB)'];

function smallDisk(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-store-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', dir]);
  assert.equal(mounted.status, 0, mounted.stderr.toString());
  t.after(() => {
    spawnSync('umount', ['-l', dir]);
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

function fillDisk(dir: string): void {
  for (const size of [1 << 20, 1 << 12]) {
    for (let i = 0; ; i++) {
      try {
        writeFileSync(join(dir, `filler-${size}-${i}`), new Uint8Array(size));
      } catch {
        break;
      }
    }
  }
}

test('on a full disk the call that failed works when it is made again', { skip }, (t) => {
  const dir = smallDisk(t);
  const path = join(dir, 'a.db');
  using store = openStore(path, { migrations, reserve: true });
  assert.equal(statSync(`${path}.reserve`).size, 4 << 20);
  fillDisk(dir);
  const write = (): void => {
    store.transaction(() => {
      store.prepare('INSERT INTO things VALUES (?)').run(new Uint8Array(64 << 10));
    });
  };
  assert.throws(
    () => {
      for (let i = 0; i < 20; i++) {
        write();
      }
    },
    { kind: 'resource-exhausted' },
  );
  assert.equal(existsSync(`${path}.reserve`), false);
  write();
});

test('without being asked for nothing is set aside', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-store-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  using _store = openStore(join(dir, 'a.db'), { migrations });
  assert.equal(existsSync(join(dir, 'a.db.reserve')), false);
});
