import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { OciResources } from '@gantry/oci';
import { LinuxContainerResourcesSchema } from '@gantry/proto';
import { linuxResources, type ResourceFacts } from './linux-resources.ts';

type Init = MessageInitShape<typeof LinuxContainerResourcesSchema>;
const v1: ResourceFacts = { cgroupVersion: 1, hugepageSizes: ['2MB'], swapAccounting: true };
const v2: ResourceFacts = { ...v1, cgroupVersion: 2 };
const of = (init: Init, host = v1, pids = 0) =>
  linuxResources(create(LinuxContainerResourcesSchema, init), host, pids);

const cases: readonly [what: string, init: Init, expected: OciResources, host?: ResourceFacts][] = [
  ['nothing set', {}, {}],
  ['250m of CPU asked for', { cpuShares: 256n }, { cpu: { shares: 256 } }],
  [
    'a limit of 500m',
    { cpuQuota: 50_000n, cpuPeriod: 100_000n },
    { cpu: { quota: 50_000, period: 100_000 } },
  ],
  ['no limit of CPU time', { cpuQuota: -1n }, { cpu: { quota: -1 } }],
  ['memory', { memoryLimitInBytes: 1024n }, { memory: { limit: 1024, swap: 1024 } }],
  [
    'memory where swap is not counted',
    { memoryLimitInBytes: 1024n, memorySwapLimitInBytes: 2048n },
    { memory: { limit: 1024 } },
    { ...v1, swapAccounting: false },
  ],
  [
    'memory and swap',
    { memoryLimitInBytes: 1024n, memorySwapLimitInBytes: 2048n },
    { memory: { limit: 1024, swap: 2048 } },
  ],
  ['unlimited memory', { memoryLimitInBytes: -1n }, { memory: { limit: -1, swap: -1 } }],
  [
    'more memory than JSON can count',
    { memoryLimitInBytes: (1n << 63n) - 1n },
    { memory: { limit: Number.MAX_SAFE_INTEGER, swap: Number.MAX_SAFE_INTEGER } },
  ],
  [
    'huge pages, one size the host has',
    {
      hugepageLimits: [
        { pageSize: '2Mi', limit: 4n },
        { pageSize: '1GB', limit: 0n },
      ],
    },
    { hugepageLimits: [{ pageSize: '2MB', limit: 4 }] },
  ],
  [
    'huge pages without the controller',
    { hugepageLimits: [{ pageSize: '2MB', limit: 0n }] },
    {},
    { ...v1, hugepageSizes: [] },
  ],
  ['cgroup v2 keys', { unified: { 'cpu.weight': '7' } }, { unified: { 'cpu.weight': '7' } }, v2],
  ['CPU lists', { cpusetCpus: '0-2,7', cpusetMems: '0' }, { cpu: { cpus: '0-2,7', mems: '0' } }],
];
for (const [what, init, expected, host] of cases) {
  test(`limits: ${what}`, () => {
    assert.deepEqual(of(init, host), expected);
  });
}

test('a limit of processes is the caller’s', () => {
  assert.deepEqual(of({}, v1, 9), { pids: { limit: 9 } });
  assert.deepEqual(linuxResources(undefined, v1, 9), { pids: { limit: 9 } });
});

const refused: readonly [init: Init, kind: string, message: RegExp, host?: ResourceFacts][] = [
  [{ oomScoreAdj: 1001n }, 'invalid-argument', /^oom_score_adj: 1001/],
  [{ oomScoreAdj: -1001n }, 'invalid-argument', /^oom_score_adj/],
  [{ cpuShares: -1n }, 'invalid-argument', /^cpu_shares: -1/],
  [{ cpuPeriod: -5n }, 'invalid-argument', /^cpu_period/],
  [{ cpuQuota: -2n }, 'invalid-argument', /^cpu_quota/],
  [{ memoryLimitInBytes: -2n }, 'invalid-argument', /^memory_limit/],
  [
    { memoryLimitInBytes: 2n, memorySwapLimitInBytes: 1n },
    'invalid-argument',
    /^memory_swap_limit_in_bytes/,
  ],
  [{ cpusetCpus: '0\n1' }, 'invalid-argument', /^cpuset_cpus/],
  [{ hugepageLimits: [{ pageSize: '../x', limit: 1n }] }, 'invalid-argument', /^hugepage_limits/],
  [{ unified: { 'memory.high': '1' } }, 'failed-precondition', /^unified/],
  [{ unified: { '../memory.high': '1' } }, 'invalid-argument', /^unified/, v2],
];
for (const [init, kind, message, host] of refused) {
  test(`limits refused: ${message.source}`, () => {
    assert.throws(() => of(init, host), { kind, message });
  });
}
