import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import {
  bindMount,
  createUserNamespace,
  makeMountPoint,
  mountIdmapped,
  mountIdmappedOverlay,
  mountInfo,
  mountOverlay,
  mountTmpfs,
  releaseMounts,
  tryIdmap,
  unmount,
} from './index.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root';
const range = [{ containerId: 0, hostId: 100_000, length: 65_536 }];
const mappings = { uids: range, gids: [{ containerId: 0, hostId: 200_000, length: 65_536 }] };

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-userns-'));
  t.after(async () => {
    const mounts = (await mountInfo()).filter((m) => m.mountPoint.startsWith(`${dir}/`));
    for (const { mountPoint } of mounts.reverse()) {
      await unmount(mountPoint, { detach: true });
    }
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

const enter = (args: readonly string[], script: string): string =>
  execFileSync('nsenter', [...args, '--', 'sh', '-c', script], { encoding: 'utf8' });

async function userNamespace(dir: string): Promise<string> {
  const user = join(dir, 'ns', 'user');
  await createUserNamespace({ user }, mappings);
  return user;
}

test('a user namespace is pinned with its mappings, and owns the network', { skip }, async (t) => {
  const dir = tempDir(t);
  const paths = {
    user: join(dir, 'ns/user'),
    network: join(dir, 'ns/net'),
    ipc: join(dir, 'ns/ipc'),
    uts: join(dir, 'ns/uts'),
  };
  await createUserNamespace(paths, mappings);
  const inside = [`--user=${paths.user}`, '--setuid=0', '--setgid=0', `--net=${paths.network}`];
  assert.match(
    enter(inside, 'cat /proc/self/uid_map /proc/self/gid_map'),
    /^\s*0\s+100000\s+65536\n\s*0\s+200000\s+65536\n$/,
  );
  assert.match(enter([`--net=${paths.network}`], 'cat /proc/net/dev'), /\blo:/);
  // Its root may change its network and host name, which takes owning them.
  const more = [...inside, `--uts=${paths.uts}`, `--ipc=${paths.ipc}`];
  const changed = enter(
    more,
    'hostname pod; hostname; ip addr add 10.9.9.9/32 dev lo && ip -o addr',
  );
  assert.match(changed, /^pod\n[\s\S]*inet 10\.9\.9\.9/);
  assert.match(enter(inside, 'ip -o link show lo'), /<LOOPBACK,UP/);
  const parent = readFileSync('/proc/self/mountinfo', 'utf8');
  assert.ok(Object.values(paths).every((path) => parent.includes(` ${path} `)));
});

test('a refused mapping names it and leaves nothing', { skip }, async (t) => {
  const dir = tempDir(t);
  const user = join(dir, 'user');
  const overlapping = [...range, { containerId: 10, hostId: 900_000, length: 10 }];
  await assert.rejects(
    createUserNamespace({ user }, { uids: overlapping, gids: range }),
    (e) => isKind(e, 'invalid-argument') && /map ids: 0 100000 65536/.test(messageOf(e)),
  );
  assert.deepEqual(readdirSync(dir), []);
  writeFileSync(user, 'mine');
  await assert.rejects(createUserNamespace({ user }, mappings), { kind: 'already-exists' });
  assert.equal(readFileSync(user, 'utf8'), 'mine');
});

test('what needs a namespace that the host refuses says why', { skip }, async (t) => {
  const dir = tempDir(t);
  const path = process.env['PATH'];
  t.after(() => {
    process.env['PATH'] = path;
  });
  const fake = join(dir, 'unshare');
  writeFileSync(fake, '#!/bin/sh\necho "unshare failed: No space left" >&2; exit 1\n', {
    mode: 0o755,
  });
  process.env['PATH'] = `${dir}:${path}`;
  await assert.rejects(
    createUserNamespace({ user: join(dir, 'user') }, mappings),
    (e) => isKind(e, 'failed-precondition') && /No space left/.test(messageOf(e)),
  );
  assert.equal(existsSync(join(dir, 'user')), false);
});

test('a directory is shown with its owners shifted, and nothing changes on disk', {
  skip,
}, async (t) => {
  const dir = tempDir(t);
  const user = await userNamespace(dir);
  const [source, target] = [join(dir, 'source'), join(dir, 'target')];
  mkdirSync(source);
  writeFileSync(join(source, 'file'), '');
  chownSync(join(source, 'file'), 7, 8);
  await makeMountPoint(target, 'directory');
  await mountIdmapped({ source, target, userNamespace: user });
  const { uid, gid } = statSync(join(target, 'file'));
  assert.deepEqual([uid, gid], [100_007, 200_008]);
  assert.equal(statSync(join(source, 'file')).uid, 7);
  // Our own id has no place in the namespace: nothing of it can be written.
  assert.throws(() => writeFileSync(join(target, 'new'), ''), { code: 'EOVERFLOW' });
});

test('mounts below come along, those that can not map ids as they are', { skip }, async (t) => {
  const dir = tempDir(t);
  const user = await userNamespace(dir);
  const [source, target, other] = [join(dir, 'source'), join(dir, 'target'), join(dir, 'other')];
  for (const path of [source, target, other, join(source, 'sub'), join(source, 'proc')]) {
    mkdirSync(path);
  }
  writeFileSync(join(other, 'file'), '');
  await bindMount({ source: other, target: join(source, 'sub') });
  const mount = { source, target, userNamespace: user, recursive: true } as const;
  await mountIdmapped(mount);
  assert.equal(statSync(join(target, 'sub/file')).uid, 100_000);
  await unmount(target, { detach: true });
  await bindMount({ source: '/proc', target: join(source, 'proc') });
  await mountIdmapped({ ...mount, readonly: true });
  assert.equal(statSync(target).uid, 100_000);
  assert.equal(statSync(join(target, 'proc/1')).uid, 0);
  assert.throws(() => writeFileSync(join(target, 'sub/new'), ''), { code: 'EROFS' });
  // The source's own mounts stay.
  await unmount(target, { detach: true });
  assert.equal(existsSync(join(source, 'sub/file')), true);
});

test('a single file can be shown so too', { skip }, async (t) => {
  const dir = tempDir(t);
  const user = await userNamespace(dir);
  const [source, target] = [join(dir, 'source'), join(dir, 'target')];
  writeFileSync(source, 'text');
  await makeMountPoint(target, 'file');
  await mountIdmapped({ source, target, userNamespace: user });
  assert.equal(statSync(target).uid, 100_000);
  assert.equal(readFileSync(target, 'utf8'), 'text');
});

test('a file system that can not do it is told by name', { skip }, async (t) => {
  const dir = tempDir(t);
  const user = await userNamespace(dir);
  const target = join(dir, 'target');
  mkdirSync(target);
  await assert.rejects(
    mountIdmapped({ source: '/proc', target, userNamespace: user }),
    (e) => isKind(e, 'failed-precondition') && messageOf(e).includes('ids of /proc'),
  );
  assert.equal(
    (await mountInfo()).some((m) => m.mountPoint === target),
    false,
  );
});

test('whether ids can be mapped is told without leaving anything', { skip }, async (t) => {
  const dir = tempDir(t);
  await tryIdmap(dir);
  await assert.rejects(tryIdmap('/proc'), (e) => /ids of \/proc: its file/.test(messageOf(e)));
  assert.deepEqual(readdirSync(dir), []);
});

test('an overlay of shifted layers copies up to shifted owners and keeps no other mount', {
  skip,
}, async (t) => {
  const dir = tempDir(t);
  const user = await userNamespace(dir);
  const make = (name: string): string => {
    mkdirSync(join(dir, name));
    return join(dir, name);
  };
  const lowerDirs = [make('top'), make('base')];
  writeFileSync(join(dir, 'base/file'), 'x');
  chownSync(join(dir, 'base/file'), 5, 5);
  const [upperDir, workDir, target] = [make('upper'), make('work'), make('merged')];
  const stagingDir = join(dir, 'staging');
  const mount = { lowerDirs, upperDir, workDir, target, userNamespace: user, stagingDir };
  await mountIdmappedOverlay(mount);
  assert.equal(statSync(join(target, 'file')).uid, 100_005);
  spawnSync('chmod', ['600', join(target, 'file')]);
  assert.equal(statSync(join(upperDir, 'file')).uid, 100_005);
  assert.equal(existsSync(stagingDir), false);
  const mine = (await mountInfo()).filter((m) => m.mountPoint.startsWith(`${dir}/`));
  assert.deepEqual(
    mine.map((m) => m.mountPoint).filter((p) => p !== user),
    [target],
  );
});

test('an overlay without an upper directory can not be written to', { skip }, async (t) => {
  const dir = tempDir(t);
  for (const name of ['a', 'b', 'target']) {
    mkdirSync(join(dir, name));
  }
  writeFileSync(join(dir, 'b/file'), 'x');
  const target = join(dir, 'target');
  await mountOverlay({ lowerDirs: [join(dir, 'a'), join(dir, 'b')], target });
  assert.equal(readFileSync(join(target, 'file'), 'utf8'), 'x');
  assert.throws(() => writeFileSync(join(target, 'new'), ''), { code: 'EROFS' });
});

test('mounts are released without touching what they show', { skip }, async (t) => {
  const dir = tempDir(t);
  const [held, source] = [join(dir, 'held'), join(dir, 'source')];
  await mountTmpfsAt(source);
  await mountTmpfsAt(join(source, 'sub'));
  writeFileSync(join(source, 'sub/precious'), 'x');
  for (const name of ['0', '1', '1']) {
    await makeMountPoint(join(held, name), 'directory');
    await bindMount({ source, target: join(held, name), recursive: name === '0' });
  }
  await makeMountPoint(join(held, 'file'), 'file');
  await releaseMounts(held);
  assert.equal(existsSync(held), false);
  assert.equal(readFileSync(join(source, 'sub/precious'), 'utf8'), 'x');
  await releaseMounts(held);
});

test('what is no empty mount point is not removed', { skip }, async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, 'held/0/data'), { recursive: true });
  await assert.rejects(releaseMounts(join(dir, 'held')), { code: 'ENOTEMPTY' });
  assert.equal(existsSync(join(dir, 'held/0/data')), true);
});

async function mountTmpfsAt(target: string): Promise<void> {
  mkdirSync(target);
  await mountTmpfs({ target, sizeBytes: 1 << 20, mode: 0o755 });
}
