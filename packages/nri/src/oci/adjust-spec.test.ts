import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { OciSpec } from '@gantry/oci';
import {
  ContainerAdjustmentSchema,
  ContainerSchema,
  IOPrioClass,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  MpolFlag,
  MpolMode,
} from '@gantry/proto/nri';
import { adjustSpec, describeSpec } from '../index.ts';

type Adjust = MessageInitShape<typeof ContainerAdjustmentSchema>;

const base: OciSpec = {
  ociVersion: '1.0.2',
  process: {
    user: { uid: 1000, gid: 100, additionalGids: [5] },
    args: ['/bin/app'],
    env: ['PATH=/bin', 'DROP=1', 'KEEP=1'],
    cwd: '/',
    oomScoreAdj: 10,
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 10, hard: 20 }],
  },
  root: { path: 'rootfs' },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/data/deep', source: '/a', type: 'bind', options: ['rbind'] },
    { destination: '/data', source: '/b', type: 'bind', options: ['rbind'] },
  ],
  annotations: { a: '1', b: '2' },
  linux: {
    namespaces: [{ type: 'pid' }, { type: 'network', path: '/n' }, { type: 'ipc' }],
    devices: [{ type: 'c', path: '/dev/x', major: 1, minor: 2 }],
    resources: {
      devices: [{ allow: false, access: 'rwm' }],
      memory: { limit: 100, swap: 100, reservation: 50 },
      cpu: { shares: 2, cpus: '0-3' },
      hugepageLimits: [{ pageSize: '2MB', limit: 1 }],
    },
    sysctl: { 's.a': '1' },
  },
};

function adjusted(adjust: Adjust) {
  const before = JSON.stringify(base);
  const spec = adjustSpec(base, create(ContainerAdjustmentSchema, adjust));
  assert.equal(JSON.stringify(base), before, 'the spec that came in is as it was');
  return JSON.parse(JSON.stringify(spec)) as OciSpec & {
    process: Record<string, unknown>;
    linux: Record<string, unknown>;
  };
}

const linux = (fields: NonNullable<Adjust['linux']>): Adjust => ({ linux: fields }) as Adjust;

test('nothing asked for, nothing changed', () => {
  assert.deepEqual(adjusted({}), base);
});

test('annotations are set and removed', () => {
  const { annotations } = adjusted({ annotations: { '-a': '', b: '3', c: '4' } });
  assert.deepEqual(annotations, { b: '3', c: '4' });
});

test('variables are replaced in place, appended, and removed', () => {
  const env = [
    { key: 'NEW', value: 'x' },
    { key: '-DROP' },
    { key: '-PATH' },
    { key: 'PATH', value: '/sbin' },
  ];
  assert.deepEqual(adjusted({ env }).process.env, ['PATH=/sbin', 'KEEP=1', 'NEW=x']);
});

test('mounts replace those at their place, and are sorted by depth and name', () => {
  const { mounts } = adjusted({
    mounts: [
      { destination: '/data', source: '/new', type: 'bind', options: ['rbind', 'rshared'] },
      { destination: '/a/b', source: '/x' },
      { destination: '-/proc' },
      { destination: '/a', source: '/y' },
    ],
  });
  assert.deepEqual(
    mounts.map(({ destination, source }) => [destination, source]),
    [
      ['/a', '/y'],
      ['/data', '/new'],
      ['/a/b', '/x'],
      ['/data/deep', '/a'],
    ],
  );
});

test('a shared mount makes the root shared, a slave one at least slave', () => {
  const withOption = (option: string) =>
    adjusted({ mounts: [{ destination: '/m', options: [option] }] }).linux.rootfsPropagation;
  assert.equal(withOption('rshared'), 'rshared');
  assert.equal(withOption('rslave'), 'rslave');
  assert.equal(withOption('ro'), undefined);
});

test('a device replaces the one on its path and may be used', () => {
  const { devices, resources } = adjusted(
    linux({
      devices: [
        { path: '-/dev/x' },
        { path: '/dev/x', type: 'b', major: 8n, minor: 1n, fileMode: { value: 0o600 } },
        { path: '/dev/y', type: 'c', major: 9n, minor: 2n, uid: { value: 0 }, gid: { value: 7 } },
        { path: '/dev/p', type: 'p' },
      ],
    }),
  ).linux;
  assert.deepEqual(devices, [
    { type: 'b', path: '/dev/x', major: 8, minor: 1, fileMode: 0o600 },
    { type: 'c', path: '/dev/y', major: 9, minor: 2, uid: 0, gid: 7 },
    { type: 'p', path: '/dev/p' },
  ]);
  assert.deepEqual(resources?.devices, [
    { allow: false, access: 'rwm' },
    { allow: true, type: 'b', major: 8, minor: 1, access: 'rwm' },
    { allow: true, type: 'c', major: 9, minor: 2, access: 'rw' },
  ]);
});

test('a device of no known type is refused', () => {
  assert.throws(() => adjusted(linux({ devices: [{ path: '/dev/z', type: 'q' }] })), {
    kind: 'invalid-argument',
    message: /\/dev\/z/,
  });
});

test('a pure removal takes away a device', () => {
  assert.deepEqual(adjusted(linux({ devices: [{ path: '-/dev/x' }] })).linux.devices, []);
});

test('limits are put over those that are there, and swap follows a memory limit', () => {
  const { resources } = adjusted(
    linux({
      resources: {
        memory: { limit: { value: 200n } },
        cpu: { cpus: '1', quota: { value: -1n } },
        hugepageLimits: [{ pageSize: '1GB', limit: 5n }],
        unified: { 'memory.high': '9' },
        pids: { limit: 7n },
        devices: [{ allow: true, type: 'c', major: { value: 1n }, access: 'r' }],
      },
    }),
  ).linux;
  assert.deepEqual(resources, {
    devices: [
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, access: 'r' },
    ],
    memory: { limit: 200, swap: 200, reservation: 50 },
    cpu: { shares: 2, cpus: '1', quota: -1 },
    hugepageLimits: [
      { pageSize: '2MB', limit: 1 },
      { pageSize: '1GB', limit: 5 },
    ],
    unified: { 'memory.high': '9' },
    pids: { limit: 7 },
  });
});

test('rlimits replace those of their type, and unlimited is told to the last digit', () => {
  const most = (1n << 64n) - 1n;
  const spec = adjustSpec(
    base,
    create(ContainerAdjustmentSchema, {
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: 30n, hard: 40n },
        { type: 'RLIMIT_MEMLOCK', soft: most, hard: most },
      ],
    }),
  );
  const text = JSON.stringify(spec.process.rlimits);
  assert.equal(
    text,
    '[{"type":"RLIMIT_NOFILE","soft":30,"hard":40},' +
      '{"type":"RLIMIT_MEMLOCK","soft":18446744073709551615,"hard":18446744073709551615}]',
  );
  const shown = create(ContainerSchema, describeSpec(spec) as object);
  assert.equal(shown.rlimits[1]?.hard, most);
});

test('hooks are appended, list by list', () => {
  const { hooks } = adjusted({
    hooks: {
      createRuntime: [{ path: '/h', args: ['h', 'x'], env: ['A=1'], timeout: { value: 3n } }],
      poststop: [{ path: '/p' }],
    },
  });
  assert.deepEqual(hooks, {
    createRuntime: [{ path: '/h', args: ['h', 'x'], env: ['A=1'], timeout: 3 }],
    poststop: [{ path: '/p' }],
  });
});

test('namespaces are replaced, added and removed', () => {
  const namespaces = [
    { type: 'network', path: '/m' },
    { type: '-ipc' },
    { type: 'cgroup', path: '' },
  ];
  assert.deepEqual(adjusted(linux({ namespaces })).linux.namespaces, [
    { type: 'pid' },
    { type: 'network', path: '/m' },
    { type: 'cgroup' },
  ]);
});

test('what belongs to the process, the scheduler and memory is in OCI words', () => {
  const spec = adjusted({
    args: ['/bin/other', '-x'],
    linux: {
      cgroupsPath: '/elsewhere',
      oomScoreAdj: { value: -5n },
      ioPriority: { class: IOPrioClass.IOPRIO_CLASS_RT, priority: 3 },
      scheduler: {
        policy: LinuxSchedulerPolicy.SCHED_DEADLINE,
        flags: [LinuxSchedulerFlag.SCHED_FLAG_RESET_ON_FORK],
        runtime: 1n,
        deadline: 2n,
        period: 3n,
      },
      memoryPolicy: {
        mode: MpolMode.MPOL_INTERLEAVE,
        nodes: '0-1',
        flags: [MpolFlag.MPOL_F_STATIC_NODES],
      },
      sysctl: { '-s.a': '', 's.b': '2' },
      netDevices: { eth1: { name: 'eth9' }, eth2: {} },
      rdt: {
        closId: { value: 'g' },
        schemata: { value: ['L3:0=f'] },
        enableMonitoring: { value: true },
      },
    },
  });
  assert.deepEqual(spec.process.args, ['/bin/other', '-x']);
  assert.equal(spec.linux.cgroupsPath, '/elsewhere');
  assert.equal(spec.process.oomScoreAdj, -5);
  assert.deepEqual(spec.process.ioPriority, { class: 'IOPRIO_CLASS_RT', priority: 3 });
  assert.deepEqual(spec.process.scheduler, {
    policy: 'SCHED_DEADLINE',
    flags: ['SCHED_FLAG_RESET_ON_FORK'],
    runtime: 1,
    deadline: 2,
    period: 3,
  });
  assert.deepEqual(spec.linux['memoryPolicy'], {
    mode: 'MPOL_INTERLEAVE',
    nodes: '0-1',
    flags: ['MPOL_F_STATIC_NODES'],
  });
  assert.deepEqual(spec.linux.sysctl, { 's.b': '2' });
  assert.deepEqual(spec.linux['netDevices'], { eth1: { name: 'eth9' }, eth2: {} });
  assert.deepEqual(spec.linux.intelRdt, {
    closID: 'g',
    schemata: ['L3:0=f'],
    enableMonitoring: true,
  });
});

test('an empty I/O class or scheduler policy takes it away', () => {
  const spec = adjustSpec(
    {
      ...base,
      process: { ...base.process, ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 1 } },
    },
    create(ContainerAdjustmentSchema, linux({ ioPriority: {}, scheduler: {} })),
  );
  assert.equal(spec.process.ioPriority, undefined);
  assert.equal(spec.process.scheduler, undefined);
});

test('a seccomp policy takes the place of the one that was there, its errno with it', () => {
  const { seccomp } = adjusted(
    linux({
      seccompPolicy: {
        defaultAction: 'SCMP_ACT_ERRNO',
        defaultErrno: { value: 38 },
        architectures: ['SCMP_ARCH_X86_64'],
        syscalls: [
          {
            names: ['read'],
            action: 'SCMP_ACT_ALLOW',
            args: [{ index: 1, value: 2n, op: 'SCMP_CMP_EQ' }],
          },
        ],
      },
    }),
  ).linux;
  assert.deepEqual(seccomp, {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_X86_64'],
    syscalls: [
      {
        names: ['read'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 1, value: 2, op: 'SCMP_CMP_EQ' }],
      },
    ],
  });
});

test('an RDT class is a group of resctrl; an empty one is none', () => {
  const wanted = (value: string) => linux({ resources: { rdtClass: { value } } });
  assert.deepEqual(adjusted(wanted('gold')).linux.intelRdt, { closID: 'gold' });
  assert.equal(adjusted(wanted('')).linux.intelRdt, undefined);
});

test('CDI devices go to whoever injects them; without one they are refused', () => {
  const wanted = create(ContainerAdjustmentSchema, { CDIDevices: [{ name: 'v/c=d' }] });
  assert.throws(() => adjustSpec(base, wanted), /CDI devices v\/c=d: no injector/);
  const spec = adjustSpec(base, wanted, {
    injectDevices: (before, names) => ({ ...before, hostname: names.join() }),
  });
  assert.equal(spec.hostname, 'v/c=d');
});

test('plugins are shown what config.json says', () => {
  const shown = create(ContainerSchema, describeSpec(base) as object);
  assert.deepEqual(shown.args, ['/bin/app']);
  assert.deepEqual(shown.user?.additionalGids, [5]);
  assert.equal(shown.linux?.resources?.memory?.limit?.value, 100n);
  assert.equal(shown.linux.resources.memory.kernel, undefined);
  assert.equal(shown.linux.resources.cpu?.cpus, '0-3');
  assert.equal(shown.linux.devices[0]?.minor, 2n);
  assert.equal(shown.linux.oomScoreAdj?.value, 10n);
  assert.deepEqual(
    shown.linux.namespaces.map(({ type, path }) => `${type}:${path}`),
    ['pid:', 'network:/n', 'ipc:'],
  );
});
