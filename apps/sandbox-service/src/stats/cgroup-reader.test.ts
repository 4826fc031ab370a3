import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CgroupReader } from './cgroup-reader.ts';

/** A tree of files that looks like a cgroup mount. */
async function tree(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'gantry-stats-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return root;
}

const v1Stat = `cache 1
rss 1
inactive_file 1
hierarchical_memory_limit 104857600
hierarchical_memsw_limit 209715200
total_cache 9310208
total_rss 20000000
total_rss_huge 0
total_swap 4096
total_pgfault 1200
total_pgmajfault 34
total_inactive_file 8000000
`;

const v1 = {
  'cpuacct/cgroup.procs': '',
  'memory/cgroup.procs': '',
  'unified/cgroup.controllers': '',
  'unified/pod/c1/cpu.pressure': 'some avg10=1.00 avg60=1.00 avg300=1.00 total=1\n',
  'cpuacct/pod/c1/cpuacct.usage': '123456789012\n',
  'memory/pod/c1/memory.usage_in_bytes': '30000000\n',
  'memory/pod/c1/memory.stat': v1Stat,
  'memory/pod/c1/cgroup.procs': '10\n11\n',
  'memory/pod/c1/inner/cgroup.procs': '12\n',
};

test('a v1 cgroup tells the totals of it and all below, and no pressure', async (t) => {
  const reader = new CgroupReader(await tree(t, v1));
  assert.deepEqual(await reader.read('/pod/c1'), {
    cpu: { usageNanos: 123456789012n },
    memory: {
      usage: 30000000n,
      workingSet: 22000000n,
      available: 82857600n,
      rss: 20000000n,
      pageFaults: 1200n,
      majorPageFaults: 34n,
    },
    swap: { usage: 4096n, available: 104853504n },
  });
  assert.equal(await reader.countProcesses('/pod/c1'), 3);
});

test('a v1 limit of all that a signed number holds is none; uncounted swap is no figure', async (t) => {
  const stat = v1Stat
    .replace(/(hierarchical_memory_limit) .*/, '$1 9223372036854771712')
    .replace(/.*(swap|memsw).*\n/g, '');
  const reader = new CgroupReader(await tree(t, { ...v1, 'memory/pod/c1/memory.stat': stat }));
  const { memory, swap } = await reader.read('/pod/c1');
  assert.equal(memory?.workingSet, 22000000n);
  assert.equal(memory.available, undefined);
  assert.equal(swap, undefined);
});

const pressure = (total: number) => `some avg10=1.50 avg60=0.25 avg300=0.05 total=${total}
full avg10=0.50 avg60=0.00 avg300=0.00 total=7
`;

const v2 = {
  'cgroup.controllers': 'cpu io memory\n',
  'cgroup.procs': '',
  'pod/c1/cgroup.procs': '10\n',
  'pod/c1/inner/cgroup.procs': '12\n13\n',
  'pod/c1/cpu.stat': 'usage_usec 5000001\nuser_usec 4000000\nsystem_usec 1000001\n',
  'pod/c1/cpu.pressure': pressure(1000),
  'pod/c1/memory.current': '30000000\n',
  'pod/c1/memory.max': '25000000\n',
  'pod/c1/memory.stat':
    'anon 20000000\nfile 9000000\ninactive_anon 5\ninactive_file 1000000\npgfault 1200\npgmajfault 34\n',
  'pod/c1/memory.swap.current': '0\n',
  'pod/c1/memory.swap.max': 'max\n',
  'pod/c1/memory.pressure': pressure(2000),
  'pod/c1/io.pressure': pressure(3000),
};

test('a v2 cgroup tells pressure too; what is used beyond the limit leaves nothing', async (t) => {
  const reader = new CgroupReader(await tree(t, v2));
  const full = { totalNanos: 7000n, avg10: 0.5, avg60: 0, avg300: 0 };
  const some = (totalNanos: bigint) => ({ totalNanos, avg10: 1.5, avg60: 0.25, avg300: 0.05 });
  assert.deepEqual(await reader.read('/pod/c1'), {
    cpu: { usageNanos: 5000001000n, pressure: { some: some(1000000n), full } },
    memory: {
      usage: 30000000n,
      workingSet: 29000000n,
      available: 0n,
      rss: 20000000n,
      pageFaults: 1200n,
      majorPageFaults: 34n,
      pressure: { some: some(2000000n), full },
    },
    swap: { usage: 0n, available: undefined },
    ioPressure: { some: some(3000000n), full },
  });
  assert.equal(await reader.countProcesses('/pod/c1'), 3);
});

test('more file pages than usage leave a working set of nothing, not less', async (t) => {
  const reader = new CgroupReader(
    await tree(t, { ...v2, 'pod/c1/memory.stat': 'anon 1\ninactive_file 40000000\n' }),
  );
  assert.equal((await reader.read('/pod/c1')).memory?.workingSet, 0n);
});

test('a v2 kernel without pressure and swap tells the rest', async (t) => {
  const files = Object.entries(v2).filter(([name]) => !/pressure|swap/.test(name));
  const reading = await new CgroupReader(await tree(t, Object.fromEntries(files))).read('/pod/c1');
  assert.deepEqual(Object.keys(reading.memory ?? {}).length, 7);
  assert.equal(reading.memory?.pressure, undefined);
  assert.equal(reading.swap, undefined);
  assert.equal(reading.ioPressure, undefined);
});

test('a cgroup that is gone has no figures and no processes', async (t) => {
  for (const files of [v1, v2]) {
    const reader = new CgroupReader(await tree(t, files));
    const reading = await reader.read('/pod/other');
    assert.deepEqual(
      [reading.cpu, reading.memory, reading.swap],
      [undefined, undefined, undefined],
    );
    assert.equal(await reader.countProcesses('/pod/other'), 0);
  }
});

test('a host without cgroups is looked at again at the next reading', async (t) => {
  const root = await tree(t, {});
  const reader = new CgroupReader(root);
  await assert.rejects(reader.read('/pod/c1'), { kind: 'failed-precondition' });
  await writeFile(join(root, 'cgroup.controllers'), 'memory');
  await mkdir(join(root, 'pod'));
  await writeFile(join(root, 'pod', 'memory.current'), '5\n');
  assert.equal((await reader.read('pod')).memory?.usage, 5n);
});
