import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import {
  type CgroupLayout,
  cgroupDirectory,
  detectCgroups,
  listCgroupProcesses,
  removeCgroup,
} from './index.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root to make cgroups';

/** A tree of files that looks like a cgroup mount */
function fixture(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'gantry-cgroup-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, content);
  }
  return root;
}

test('a tree with controllers at its root is v2', async (t) => {
  const root = fixture(t, {
    'cgroup.controllers': 'memory cpu pids\n',
    'cgroup.procs': '',
    'system.slice/cgroup.controllers': 'memory\n',
  });
  const layout = await detectCgroups(root);
  assert.equal(layout.version, 'v2');
  assert.deepEqual(layout.controllers, ['cpu', 'memory', 'pids']);
  assert.equal(cgroupDirectory(layout, 'cpu', '/a/b'), join(root, 'a/b'));
  assert.equal(cgroupDirectory(layout, 'devices', '/a/b'), undefined);
});

test('v1 hierarchies may have several controllers, links to them and a name', async (t) => {
  const root = fixture(t, {
    'cpu,cpuacct/cgroup.procs': '',
    'memory/cgroup.procs': '',
    'systemd/cgroup.procs': '',
    'unrelated/file': '',
  });
  symlinkSync('cpu,cpuacct', join(root, 'cpu'));
  const layout = await detectCgroups(root);
  assert.equal(layout.version, 'v1');
  assert.deepEqual(layout.controllers, ['cpu', 'cpuacct', 'memory']);
  assert.equal(layout.hierarchies.length, 3);
  assert.equal(cgroupDirectory(layout, 'cpuacct', 'a'), join(root, 'cpu,cpuacct', 'a'));
});

test('v1 with a unified tree beside it is hybrid', async (t) => {
  const root = fixture(t, {
    'memory/cgroup.procs': '',
    'unified/cgroup.controllers': 'hugetlb\n',
    'unified/cgroup.procs': '',
  });
  const layout = await detectCgroups(root);
  assert.equal(layout.version, 'hybrid');
  assert.deepEqual(layout.controllers, ['hugetlb', 'memory']);
  assert.equal(cgroupDirectory(layout, 'hugetlb', 'a'), join(root, 'unified', 'a'));
});

test('no cgroups at all is told with the path', async (t) => {
  const root = fixture(t, {});
  for (const path of [root, join(root, 'none')]) {
    await assert.rejects(
      detectCgroups(path),
      (e) => isKind(e, 'failed-precondition') && messageOf(e).includes(path),
    );
  }
});

test('the processes of a cgroup are those of all hierarchies and all below', async (t) => {
  const root = fixture(t, {
    'memory/cgroup.procs': '1\n',
    'memory/pod/cgroup.procs': '30\n4\n',
    'memory/pod/inner/cgroup.procs': '5\n',
    'pids/cgroup.procs': '1\n',
    'pids/pod/cgroup.procs': '4\n6\n',
  });
  const layout = await detectCgroups(root);
  assert.deepEqual(await listCgroupProcesses('/pod', { layout }), [4, 5, 6, 30]);
  assert.deepEqual(await listCgroupProcesses('none', { layout }), []);
});

test('neither the root nor what is outside of it is taken for a cgroup', async (t) => {
  const layout = await detectCgroups(fixture(t, { 'memory/cgroup.procs': '' }));
  for (const path of ['', '/', '//', '.', 'a/..', '../x', 'a\0b']) {
    const isBad = (e: unknown): boolean => isKind(e, 'invalid-argument');
    await assert.rejects(removeCgroup(path, { layout }), isBad, path);
    await assert.rejects(listCgroupProcesses(path, { layout }), isBad, path);
  }
});

interface RealCgroup {
  readonly layout: CgroupLayout;
  readonly path: string;
  readonly directories: readonly string[];
}

/** A cgroup with a child in every hierarchy of this host. */
async function realCgroup(t: TestContext): Promise<RealCgroup> {
  const layout = await detectCgroups();
  const path = `/gantry-test-${String(process.pid)}-${Math.random().toString(36).slice(2)}`;
  const directories = layout.hierarchies.map((h) => join(h.directory, path));
  t.after(() => {
    for (const directory of directories.flatMap((d) => [join(d, 'inner'), d])) {
      try {
        rmdirSync(directory);
      } catch {
        // Gone already, as it should be.
      }
    }
  });
  for (const directory of directories) {
    mkdirSync(join(directory, 'inner'), { recursive: true });
  }
  return { layout, path, directories };
}

function member(t: TestContext, cgroup: RealCgroup): ChildProcess {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  for (const directory of cgroup.directories) {
    try {
      writeFileSync(join(directory, 'inner', 'cgroup.procs'), String(child.pid));
    } catch {
      // A new cpuset takes no process before it has CPUs.
    }
  }
  return child;
}

test('a real cgroup goes from every hierarchy with its children', { skip }, async (t) => {
  const cgroup = await realCgroup(t);
  await removeCgroup(cgroup.path);
  assert.deepEqual(cgroup.directories.filter(existsSync), []);
  await removeCgroup(cgroup.path);
});

test('a cgroup in use is refused with its processes, and goes as they die', { skip }, async (t) => {
  const cgroup = await realCgroup(t);
  const child = member(t, cgroup);
  assert.deepEqual(await listCgroupProcesses(cgroup.path), [child.pid]);
  await assert.rejects(
    removeCgroup(cgroup.path, { timeoutMs: 20 }),
    (e) =>
      isKind(e, 'failed-precondition') &&
      messageOf(e).endsWith(`processes in it: ${String(child.pid)}`),
  );
  await assert.rejects(removeCgroup(cgroup.path, { signal: AbortSignal.timeout(20) }), {
    name: 'TimeoutError',
  });
  const removing = removeCgroup(cgroup.path);
  child.kill('SIGKILL');
  await removing;
  assert.deepEqual(cgroup.directories.filter(existsSync), []);
});
