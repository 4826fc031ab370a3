import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CgroupReader } from '../stats/cgroup-reader.ts';
import { DeviceNames, numbersOf } from './device-names.ts';
import { hugePageSizes, pageSizeOf } from './huge-pages.ts';
import { openFilesLimit, openFilesOf } from './process-figures.ts';

async function tree(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'gantry-metrics-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return root;
}

const v1 = {
  'cpu/cgroup.procs': '',
  'cpuacct/cgroup.procs': '',
  'memory/cgroup.procs': '',
  'blkio/cgroup.procs': '',
  'pids/cgroup.procs': '',
  'cpuacct/c1/cpuacct.usage': '3500000000\n',
  'cpuacct/c1/cpuacct.stat': 'user 250\nsystem 100\n',
  'cpu/c1/cpu.stat': 'nr_periods 40\nnr_throttled 7\nthrottled_time 9000000000\nnr_bursts 0\n',
  'memory/c1/memory.usage_in_bytes': '1000\n',
  'memory/c1/memory.max_usage_in_bytes': '2000\n',
  'memory/c1/memory.failcnt': '3\n',
  'memory/c1/memory.kmem.usage_in_bytes': '44\n',
  'memory/c1/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
  'memory/c1/memory.stat':
    'pgfault 5\npgmajfault 1\ntotal_cache 10\ntotal_rss 20\ntotal_mapped_file 30\ntotal_swap 40\n' +
    'total_pgfault 50\ntotal_pgmajfault 6\ntotal_inactive_file 70\ntotal_active_file 80\n',
  'blkio/c1/blkio.throttle.io_service_bytes_recursive':
    '8:0 Read 4096\n8:0 Write 512\n8:0 Sync 4608\n8:0 Total 4608\n259:1 Read 1\n259:1 Write 0\nTotal 4609\n',
  'blkio/c1/blkio.throttle.io_serviced_recursive':
    '8:0 Read 2\n8:0 Write 1\n259:1 Read 1\nTotal 4\n',
  'pids/c1/pids.current': '9\n',
  'pids/c1/pids.max': 'max\n',
};

test('the details of a v1 cgroup are read from all of its hierarchies', async (t) => {
  const reader = new CgroupReader(await tree(t, v1));
  const { details } = await reader.readDetails('/c1');
  assert.deepEqual(details, {
    cpu: {
      usageNanos: 3500000000n,
      userNanos: 2500000000n,
      systemNanos: 1000000000n,
      periods: 40n,
      throttledPeriods: 7n,
      throttledNanos: 9000000000n,
    },
    memory: {
      usage: 1000n,
      maxUsage: 2000n,
      workingSet: 930n,
      cache: 10n,
      rss: 20n,
      swap: 40n,
      kernel: 44n,
      mappedFile: 30n,
      activeFile: 80n,
      inactiveFile: 70n,
      limitHits: 3n,
      oomKills: 2n,
      faults: { own: { minor: 5n, major: 1n }, all: { minor: 50n, major: 6n } },
    },
    threads: { count: 9n, max: 0n },
    io: [
      { device: '8:0', readBytes: 4096n, writeBytes: 512n, reads: 2n, writes: 1n },
      { device: '259:1', readBytes: 1n, writeBytes: 0n, reads: 1n, writes: 0n },
    ],
    pressure: {},
  });
});

const v2 = {
  'cgroup.controllers': 'cpu io memory pids hugetlb\n',
  'c1/cpu.stat':
    'usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nnr_periods 40\nnr_throttled 7\nthrottled_usec 9000000\n',
  'c1/memory.current': '1000\n',
  'c1/memory.peak': '2000\n',
  'c1/memory.stat':
    'anon 20\nfile 10\nkernel 44\nkernel_stack 4\nfile_mapped 30\ninactive_file 70\nactive_file 80\npgfault 50\npgmajfault 6\n',
  'c1/memory.events': 'low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n',
  'c1/memory.swap.current': '40\n',
  'c1/io.stat':
    '8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n259:1 rbytes=1 wbytes=0 rios=1 wios=0\n',
  'c1/pids.current': '9\n',
  'c1/pids.max': '100\n',
  'c1/cpu.pressure':
    'some avg10=0.00 avg60=0.00 avg300=0.00 total=3000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n',
};

test('the details of a v2 cgroup are read from its files', async (t) => {
  const reader = new CgroupReader(await tree(t, v2));
  const { details } = await reader.readDetails('/c1');
  const { cpu, memory, threads, io, pressure } = details;
  assert.equal(cpu?.userNanos, 2500000000n);
  assert.equal(cpu.throttledNanos, 9000000000n);
  assert.deepEqual(memory, {
    usage: 1000n,
    maxUsage: 2000n,
    workingSet: 930n,
    cache: 10n,
    rss: 20n,
    swap: 40n,
    kernel: 44n,
    mappedFile: 30n,
    activeFile: 80n,
    inactiveFile: 70n,
    limitHits: 3n,
    oomKills: 2n,
    faults: { own: { minor: 50n, major: 6n }, all: { minor: 50n, major: 6n } },
  });
  assert.deepEqual(threads, { count: 9n, max: 100n });
  assert.deepEqual(io[0], {
    device: '8:0',
    readBytes: 4096n,
    writeBytes: 512n,
    reads: 2n,
    writes: 1n,
  });
  assert.equal(io.length, 2);
  assert.equal(pressure.cpu?.some.totalNanos, 3000000000n);
  assert.equal(pressure.cpu.full.totalNanos, 1000000000n);
  assert.equal(pressure.memory, undefined);
});

test('an older kernel has no peak and no sum of its own memory', async (t) => {
  const { 'c1/memory.peak': _, ...files } = v2;
  const stat = 'kernel_stack 1\npagetables 2\npercpu 3\nsock 4\nslab 5\n';
  const reader = new CgroupReader(await tree(t, { ...files, 'c1/memory.stat': stat }));
  const { memory } = (await reader.readDetails('/c1')).details;
  assert.equal(memory?.maxUsage, 1000n);
  assert.equal(memory.kernel, 15n);
});

test('nothing is in the details of a cgroup that is gone', async (t) => {
  for (const files of [v1, v2]) {
    const reader = new CgroupReader(await tree(t, files));
    assert.deepEqual((await reader.readDetails('/gone')).details, { io: [], pressure: {} });
    assert.deepEqual(await reader.processesIn('/gone'), []);
  }
});

test('huge pages are told by size, in v1 with the most so far', async (t) => {
  const [size] = await hugePageSizes();
  if (size === undefined) {
    t.skip('this kernel has no huge pages');
    return;
  }
  const one = {
    'hugetlb/cgroup.procs': '',
    'memory/cgroup.procs': '',
    [`hugetlb/c1/hugetlb.${size}.usage_in_bytes`]: '7\n',
    [`hugetlb/c1/hugetlb.${size}.max_usage_in_bytes`]: '9\n',
  };
  const first = new CgroupReader(await tree(t, one));
  const pages = { pageSize: size, usage: 7n };
  assert.deepEqual((await first.readDetails('/c1')).hugePages, [{ ...pages, maxUsage: 9n }]);
  const two = { ...v2, [`c1/hugetlb.${size}.current`]: '7\n' };
  const second = new CgroupReader(await tree(t, two));
  assert.deepEqual((await second.readDetails('/c1')).hugePages, [pages]);
});

test('page sizes are called as the cgroup files call them', () => {
  assert.equal(pageSizeOf('hugepages-2048kB'), '2MB');
  assert.equal(pageSizeOf('hugepages-1048576kB'), '1GB');
  assert.equal(pageSizeOf('hugepages-64kB'), '64KB');
  assert.equal(pageSizeOf('nonsense'), undefined);
});

test('block devices have names, those that nobody knows their numbers', async (t) => {
  const root = await tree(t, {
    '8:1/uevent': 'MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n',
  });
  const names = new DeviceNames(root);
  assert.equal(names.nameOf('8:1'), '/dev/sda1');
  await rm(root, { recursive: true });
  assert.equal(names.nameOf('8:1'), '/dev/sda1');
  assert.equal(names.nameOf('9:9'), '9:9');
  assert.equal(numbersOf(0x801), '8:1');
  assert.equal(numbersOf(0x10301), '259:1');
});

test('descriptors and sockets of our own process are counted, those of a dead one are none', async () => {
  const { descriptors, sockets } = await openFilesOf([process.pid]);
  assert.ok(descriptors > 2 && sockets <= descriptors);
  // Many are read by another way than few.
  const open = Array.from({ length: 100 }, () => openSync('/dev/null', 'r'));
  const more = await openFilesOf([process.pid]);
  for (const fd of open) {
    closeSync(fd);
  }
  assert.ok(more.descriptors >= 100 && more.sockets <= more.descriptors - 100);
  assert.deepEqual(await openFilesOf([4_194_305]), { descriptors: 0, sockets: 0 });
  assert.ok((openFilesLimit(process.pid) ?? 0n) > 0n);
  assert.equal(openFilesLimit(4_194_305), undefined);
});
