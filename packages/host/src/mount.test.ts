import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
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
  mountInfo,
  mountOverlay,
  mountTmpfs,
  type OverlayMount,
  unmount,
} from './index.ts';
import { parseMountInfo } from './mount-info.ts';

type OverlayDirs = Pick<OverlayMount, 'lowerDirs' | 'target'> & {
  readonly upperDir: string;
  readonly workDir: string;
};

const skip = process.geteuid?.() === 0 ? false : 'needs root to mount';

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-host-'));
  t.after(async () => {
    const mounts = (await mountInfo()).filter((m) => m.mountPoint.startsWith(`${dir}/`));
    for (const { mountPoint } of mounts.reverse()) {
      await unmount(mountPoint, { detach: true });
    }
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

function overlayDirs(dir: string, layers: number, suffix = ''): OverlayDirs {
  const make = (name: string): string => {
    const path = join(dir, `${name}${suffix}`);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const lowerDirs = Array.from({ length: layers }, (_, i) => make(`lower-${String(i)}`));
  for (const [i, lower] of lowerDirs.entries()) {
    writeFileSync(join(lower, `only-${String(i)}`), '');
    writeFileSync(join(lower, 'all'), String(i));
  }
  return { lowerDirs, upperDir: make('upper'), workDir: make('work'), target: make('merged') };
}

async function isMounted(target: string): Promise<boolean> {
  return (await mountInfo()).some((m) => m.mountPoint === target);
}

/** Descriptors of ours that a mount may have left, a detached one (whose name is `/`) too: others come and go as they like. */
function openFds(dir: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      const what = readlinkSync(`/proc/self/fd/${fd}`);
      return what.startsWith(dir) || what === '/' || what === 'anon_inode:[fscontext]';
    } catch {
      return false;
    }
  }).length;
}

async function mountsBelow(dir: string): Promise<number> {
  return (await mountInfo()).filter((m) => m.mountPoint.startsWith(`${dir}/`)).length;
}

const awkward = ` a:b,c\\d\\040=é${'x'.repeat(200)}`;

for (const method of ['fsconfig', 'mount'] as const) {
  test(`an overlay of 127 layers is stacked in order (${method})`, { skip }, async (t) => {
    const o = overlayDirs(tempDir(t), 127);
    await mountOverlay({ ...o, method });
    assert.equal(readFileSync(join(o.target, 'all'), 'utf8'), '0');
    assert.equal(readdirSync(o.target).length, 128);
    writeFileSync(join(o.target, 'new'), 'x');
    assert.equal(readFileSync(join(o.upperDir, 'new'), 'utf8'), 'x');
    await unmount(o.target);
    assert.equal(await isMounted(o.target), false);
  });

  test(`paths may be long and have any character (${method})`, { skip }, async (t) => {
    const dir = join(tempDir(t), awkward, awkward);
    const o = overlayDirs(dir, 3, awkward);
    const before = openFds(dir);
    await mountOverlay({ ...o, method });
    assert.equal(readFileSync(join(o.target, 'only-2'), 'utf8'), '');
    writeFileSync(join(o.target, 'new'), 'x');
    assert.equal(existsSync(join(o.upperDir, 'new')), true);
    assert.equal(await isMounted(o.target), true);
    assert.equal(openFds(dir), before);
    await unmount(o.target);
    assert.equal(await isMounted(o.target), false);
  });

  test(`a failure names the target and leaves nothing (${method})`, { skip }, async (t) => {
    const dir = tempDir(t);
    const o = overlayDirs(dir, 2);
    const before = openFds(dir);
    const missing = join(o.target, 'missing');
    for (const bad of [
      { lowerDirs: [missing] },
      { upperDir: missing },
      { workDir: missing },
      { target: missing },
    ]) {
      await assert.rejects(
        mountOverlay({ ...o, ...bad, method }),
        (e) => /ENOENT/.test(messageOf(e)) && messageOf(e).includes('merged'),
      );
    }
    assert.equal(openFds(dir), before);
    assert.equal(await mountsBelow(dir), 0);
  });
}

test('the method is found out, and a volatile overlay is told so to the kernel', {
  skip,
}, async (t) => {
  const o = overlayDirs(tempDir(t), 2);
  await mountOverlay({ ...o, volatile: true });
  const mount = (await mountInfo()).find((m) => m.mountPoint === o.target);
  assert.equal(mount?.fsType, 'overlay');
  assert.match(mount.options, /volatile/);
});

test('what can be no path is refused before the kernel sees it', async () => {
  const o = { upperDir: '/u', workDir: '/w', target: '/t' };
  const isBadInput = (e: unknown): boolean => isKind(e, 'invalid-argument');
  await assert.rejects(mountOverlay({ ...o, lowerDirs: [] }), isBadInput);
  await assert.rejects(mountOverlay({ ...o, lowerDirs: ['/a\0b'] }), isBadInput);
  await assert.rejects(unmount('/a\0b'), isBadInput);
});

test('a tmpfs has its size and mode', { skip }, async (t) => {
  const target = tempDir(t);
  const inner = join(target, 'shm');
  mkdirSync(inner);
  await mountTmpfs({ target: inner, sizeBytes: 1024 * 1024, mode: 0o1777 });
  assert.equal(statSync(inner).mode & 0o7777, 0o1777);
  assert.throws(() => writeFileSync(join(inner, 'big'), Buffer.alloc(2 * 1024 * 1024)), /ENOSPC/);
  const mount = (await mountInfo()).find((m) => m.mountPoint === inner);
  assert.match(mount?.options ?? '', /nosuid,nodev,noexec/);
});

test('a bind is read-only all the way down when told so', { skip }, async (t) => {
  const dir = tempDir(t);
  const [source, target] = [join(dir, 'source'), join(dir, 'target')];
  mkdirSync(join(source, 'sub'), { recursive: true });
  mkdirSync(target);
  await mountTmpfs({ target: join(source, 'sub'), sizeBytes: 65_536, mode: 0o755 });
  writeFileSync(join(source, 'sub', 'file'), 'x');
  await bindMount({ source, target, readonly: true, recursive: true });
  assert.equal(readFileSync(join(target, 'sub', 'file'), 'utf8'), 'x');
  assert.throws(() => writeFileSync(join(target, 'sub', 'file'), 'y'), /EROFS/);
  assert.throws(() => writeFileSync(join(target, 'new'), 'y'), /EROFS/);
  writeFileSync(join(source, 'sub', 'file'), 'z');
});

test('a bind that fails leaves nothing', { skip }, async (t) => {
  const dir = tempDir(t);
  const before = openFds(dir);
  const missing = join(dir, 'none');
  await assert.rejects(bindMount({ source: missing, target: dir }), /bind .*ENOENT/);
  await assert.rejects(
    bindMount({ source: dir, target: missing, readonly: true }),
    /bind .*ENOENT/,
  );
  assert.equal(openFds(dir), before);
});

test('to unmount what is not mounted is a success', { skip }, async (t) => {
  const dir = tempDir(t);
  await unmount(dir);
  await unmount(join(dir, 'none'));
});

test('a thousand can be unmounted at once', { skip }, async (t) => {
  const dir = tempDir(t);
  await Promise.all(Array.from({ length: 1000 }, () => unmount(dir)));
});

test('a mount in use names its holder, and can be detached', { skip }, async (t) => {
  const target = join(tempDir(t), 'm');
  mkdirSync(target);
  await mountTmpfs({ target, sizeBytes: 65_536, mode: 0o755 });
  const fd = openSync(join(target, 'held'), 'w');
  t.after(() => closeSync(fd));
  await assert.rejects(unmount(target), (e) => {
    assert.match(messageOf(e), new RegExp(`EBUSY.*in use by process ${String(process.pid)} \\(`));
    return true;
  });
  assert.equal(await isMounted(target), true);
  await unmount(target, { detach: true });
  assert.equal(await isMounted(target), false);
});

test('a mount below another is named as what keeps it', { skip }, async (t) => {
  const target = join(tempDir(t), 'm');
  mkdirSync(target);
  await mountTmpfs({ target, sizeBytes: 65_536, mode: 0o755 });
  const below = join(target, 'below');
  mkdirSync(below);
  await mountTmpfs({ target: below, sizeBytes: 65_536, mode: 0o755 });
  await assert.rejects(unmount(target), (e) => messageOf(e).includes(`mounts below it: ${below}`));
});

test('a line of mountinfo is read with its escapes and optional fields', () => {
  const text =
    '36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime master:1 shared:7 - ext3 /dev/r\\011t rw,errors=x\n' +
    '37 35 98:0 / /d rw - tmpfs tmpfs rw\nnonsense\n';
  assert.deepEqual(parseMountInfo(text), [
    {
      mountPoint: '/a b\\c',
      fsType: 'ext3',
      source: '/dev/r\tt',
      root: '/mnt1',
      options: 'rw,noatime,rw,errors=x',
    },
    { mountPoint: '/d', fsType: 'tmpfs', source: 'tmpfs', root: '/', options: 'rw,rw' },
  ]);
});
