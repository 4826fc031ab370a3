import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import type { BuiltImage } from './build-image.ts';
import { buildBusyboxImage } from './busybox-image.ts';
import { buildPauseImage } from './pause-image.ts';

const asRoot = { skip: process.getuid?.() === 0 ? false : 'needs root for chroot and unshare' };

/** Unpacks the only layer of an image that `build` makes. */
async function rootOf(
  t: TestContext,
  build: (outDir: string) => Promise<BuiltImage>,
): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'debian-image-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const image = await build(join(dir, 'layout'));
  const layer = join(dir, 'layout/blobs', image.layerDigests[0]?.replace(':', '/') ?? '');
  execFileSync('mkdir', [join(dir, 'root')]);
  execFileSync('tar', ['-x', '-C', join(dir, 'root')], {
    input: gunzipSync(await readFile(layer)),
  });
  return join(dir, 'root');
}

/** Waits, at most two seconds, for something another process does. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    assert.ok(tries < 100, `${what}: not within two seconds`);
    await sleep(20);
  }
}

const childrenOf = (pid: number): string[] => {
  const file = `/proc/${pid}/task/${pid}/children`;
  return existsSync(file) ? readFileSync(file, 'utf8').split(' ').filter(Boolean) : [];
};

/** Runs /pause as the first process of a PID namespace; gives its pid here. */
async function startPause(t: TestContext, root: string): Promise<[ChildProcess, number]> {
  const unshare = spawn('unshare', ['--pid', '--kill-child', 'chroot', root, '/pause', '-P'], {
    stdio: 'ignore',
  });
  t.after(() => unshare.kill('SIGKILL'));
  const parent = unshare.pid ?? 0;
  await eventually('start of pause', () =>
    childrenOf(parent).some((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/pause'),
    ),
  );
  return [unshare, Number(childrenOf(parent)[0])];
}

test('pause ends with success at SIGTERM, as PID 1 too', asRoot, async (t) => {
  const [unshare, pid] = await startPause(t, await rootOf(t, buildPauseImage));
  // The handler is in place a moment after exec: a signal before that is lost on a PID 1.
  await eventually('signal mask', () => /^SigBlk:\t0*[1-9a-f]/m.test(statusOf(pid)));
  process.kill(pid, 'SIGTERM');
  await once(unshare, 'exit');
  assert.equal(unshare.exitCode, 0);
});

test('pause reaps what its children leave behind', asRoot, async (t) => {
  const [, pid] = await startPause(t, await rootOf(t, buildPauseImage));
  const orphan = 'sleep 0.2 & echo $!';
  execFileSync('nsenter', ['-t', String(pid), '-p', 'sh', '-c', orphan], { stdio: 'ignore' });
  await eventually('orphan', () => childrenOf(pid).length === 1);
  await eventually('reaping', () => childrenOf(pid).length === 0);
});

test('busybox runs in nothing but its image, with its users and page', asRoot, async (t) => {
  const root = await rootOf(t, buildBusyboxImage);
  const script =
    'cat /www/index.html; id app; test -k /tmp && echo sticky; which httpd wget nslookup';
  const output = execFileSync('/usr/sbin/chroot', [root, '/bin/sh', '-c', script], {
    encoding: 'utf8',
    env: { PATH: '/bin' },
  });
  assert.match(output, /Hello from a pod/);
  assert.match(output, /uid=1000\(app\) gid=1000\(app\) groups=1000\(app\),1001\(extra\)/);
  assert.match(output, /sticky\n\/bin\/httpd\n\/bin\/wget\n\/bin\/nslookup/);
});

test('both images have the same id when they are made again', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'debian-image-'));
  t.after(() => rm(dir, { recursive: true }));
  for (const build of [buildPauseImage, buildBusyboxImage]) {
    assert.equal((await build(join(dir, '1'))).id, (await build(join(dir, '2'))).id);
  }
});

function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, 'utf8');
}
