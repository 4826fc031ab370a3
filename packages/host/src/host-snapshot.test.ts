import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  detectCgroups,
  mountOverlay,
  mountTmpfs,
  removeCgroup,
  startNamespaceWorker,
  unmount,
} from './index.ts';
import { diffHosts, snapshotHost } from './testing.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root to mount';

/** A process in a mount namespace of its own whose root directory is `root`. */
async function containerLike(root: string): Promise<ChildProcess> {
  for (const name of ['bin', 'lib', 'lib64']) {
    symlinkSync(`usr/${name}`, join(root, name));
  }
  mkdirSync(join(root, 'usr'));
  mkdirSync(join(root, 'old'));
  const inside = 'echo ready; exec sleep 61';
  const script = `mount --make-rprivate / && cd ${root} && mount --rbind /usr usr && pivot_root . old && exec sh -c "${inside}"`;
  const child = spawn('unshare', ['-m', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: unknown = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  assert.equal(String(said), 'ready\n');
  return child;
}

test('one of each kind of leak is found, and none when all is gone', { skip }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-leak-'));
  const [stateDir, rootDir, ipamDir] = ['state', 'root', 'ipam'].map((d) => join(dir, d)) as [
    string,
    string,
    string,
  ];
  const [upper, work, lower, merged, shm] = ['upper', 'work', 'lower', 'merged', 'shm'].map((d) =>
    join(rootDir, d),
  ) as [string, string, string, string, string];
  for (const path of [stateDir, ipamDir, upper, work, lower, merged, shm]) {
    mkdirSync(path, { recursive: true });
  }
  const cgroupPrefix = `/gantry-test-${String(process.pid)}-leak`;
  const scope = { stateDir, rootDir, ipamDir, cgroupPrefix };
  const worker = startNamespaceWorker();
  const { hierarchies } = await detectCgroups();
  const cgroups = hierarchies.map((h) => join(h.directory, cgroupPrefix));
  const netns = join(stateDir, 'netns', 'pod');
  const children: ChildProcess[] = [];
  const cleanUp = async (): Promise<void> => {
    for (const child of children.splice(0)) {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
    await unmount(merged, { detach: true });
    await unmount(shm, { detach: true });
    await worker.removeNetns(netns);
    await removeCgroup(cgroupPrefix);
    rmSync(join(ipamDir, 'net', '10.0.0.2'), { force: true });
  };
  t.after(async () => {
    await cleanUp();
    await worker[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  const before = await snapshotHost(scope);
  assert.deepEqual(before, { mounts: [], netns: [], cgroups: [], processes: [], addresses: [] });

  await mountOverlay({ lowerDirs: [lower], upperDir: upper, workDir: work, target: merged });
  await mountTmpfs({ target: shm, sizeBytes: 65_536, mode: 0o1777 });
  await worker.createNetns(netns);
  for (const cgroup of cgroups) {
    mkdirSync(cgroup);
  }
  mkdirSync(join(ipamDir, 'net'));
  for (const name of ['10.0.0.2', 'lock', 'last_reserved_ip.0']) {
    writeFileSync(join(ipamDir, 'net', name), '');
  }
  // One that names a directory; one whose root is our overlay, which only its mounts tell.
  children.push(spawn('sleep', ['60'], { argv0: `conmon ${stateDir}/c1`, stdio: 'ignore' }));
  children.push(await containerLike(merged));
  const after = await snapshotHost(scope);
  const leaks = diffHosts(before, after);
  for (const expected of [
    `mount left: ${merged} (overlay)`,
    `mount left: ${shm} (tmpfs)`,
    `network namespace left: ${netns}`,
    ...cgroups.map((path) => `cgroup left: ${path}`),
    `ip address left: ${join(ipamDir, 'net', '10.0.0.2')}`,
  ]) {
    assert.ok(leaks.includes(expected), `${expected} is not in\n${leaks.join('\n')}`);
  }
  assert.ok(
    leaks.some((l) => /^process left: \d+ \(conmon .*c1 60\)$/.test(l)),
    leaks.join('\n'),
  );
  assert.ok(
    leaks.some((l) => /^process left: \d+ \(sleep 61\)$/.test(l)),
    leaks.join('\n'),
  );
  assert.equal(leaks.length, 4 + cgroups.length + 2);

  await cleanUp();
  assert.deepEqual(diffHosts(before, await snapshotHost(scope)), []);
});
