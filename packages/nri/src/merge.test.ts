import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerAdjustmentSchema,
  ContainerSchema,
  ContainerUpdateSchema,
  CreateContainerResponseSchema,
  Field,
  IOPrioClass,
  LinuxResourcesSchema,
  LinuxSchedulerPolicy,
  MpolMode,
} from '@gantry/proto/nri';
import { MergedAdjustment, MergedLimits, MergedUpdates, Owners } from './index.ts';

type Adjust = MessageInitShape<typeof ContainerAdjustmentSchema>;

const response = (adjust: Adjust) => create(CreateContainerResponseSchema, { adjust });
const merge = () => new MergedAdjustment(create(ContainerSchema, { id: 'c' }));
const linux = (fields: NonNullable<Adjust['linux']>): Adjust => ({ linux: fields }) as Adjust;
const limits = (resources: MessageInitShape<typeof LinuxResourcesSchema>): Adjust =>
  linux({ resources } as never);

/** One way to set each field of the schema, told by its number. */
const settings: readonly (readonly [Field, Adjust, key?: string])[] = [
  [Field.Annotations, { annotations: { k: 'v' } }, 'k'],
  [Field.Mounts, { mounts: [{ destination: '/m', source: '/s' }] }, '/m'],
  [Field.Devices, linux({ devices: [{ path: '/dev/x', type: 'c' }] }), '/dev/x'],
  [Field.CdiDevices, { CDIDevices: [{ name: 'v/c=d' }] }, 'v/c=d'],
  [Field.Env, { env: [{ key: 'K', value: 'v' }] }, 'K'],
  [Field.Args, { args: ['a'] }],
  [Field.MemLimit, limits({ memory: { limit: { value: 1n } } })],
  [Field.MemReservation, limits({ memory: { reservation: { value: 1n } } })],
  [Field.MemSwapLimit, limits({ memory: { swap: { value: 1n } } })],
  [Field.MemKernelLimit, limits({ memory: { kernel: { value: 1n } } })],
  [Field.MemTCPLimit, limits({ memory: { kernelTcp: { value: 1n } } })],
  [Field.MemSwappiness, limits({ memory: { swappiness: { value: 0n } } })],
  [Field.MemDisableOomKiller, limits({ memory: { disableOomKiller: { value: false } } })],
  [Field.MemUseHierarchy, limits({ memory: { useHierarchy: { value: true } } })],
  [Field.CPUShares, limits({ cpu: { shares: { value: 2n } } })],
  [Field.CPUQuota, limits({ cpu: { quota: { value: 2n } } })],
  [Field.CPUPeriod, limits({ cpu: { period: { value: 2n } } })],
  [Field.CPURealtimeRuntime, limits({ cpu: { realtimeRuntime: { value: 2n } } })],
  [Field.CPURealtimePeriod, limits({ cpu: { realtimePeriod: { value: 2n } } })],
  [Field.CPUSetCPUs, limits({ cpu: { cpus: '0' } })],
  [Field.CPUSetMems, limits({ cpu: { mems: '0' } })],
  [Field.PidsLimit, limits({ pids: { limit: 9n } })],
  [Field.HugepageLimits, limits({ hugepageLimits: [{ pageSize: '2MB', limit: 1n }] }), '2MB'],
  [Field.BlockioClass, limits({ blockioClass: { value: 'b' } })],
  [Field.RdtClass, limits({ rdtClass: { value: 'r' } })],
  [Field.CgroupsUnified, limits({ unified: { 'memory.high': '1' } }), 'memory.high'],
  [Field.CgroupsPath, linux({ cgroupsPath: '/x' })],
  [Field.OomScoreAdj, linux({ oomScoreAdj: { value: 0n } })],
  [Field.Rlimits, { rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1n, hard: 2n }] }, 'RLIMIT_NOFILE'],
  [Field.IoPriority, linux({ ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE } })],
  [Field.SeccompPolicy, linux({ seccompPolicy: { defaultAction: 'SCMP_ACT_ALLOW' } })],
  [Field.Namespace, linux({ namespaces: [{ type: 'network', path: '/n' }] }), 'network'],
  [Field.Sysctl, linux({ sysctl: { 'net.x': '1' } }), 'net.x'],
  [Field.LinuxNetDevices, linux({ netDevices: { eth1: { name: 'e' } } }), 'eth1'],
  [Field.LinuxSched, linux({ scheduler: { policy: LinuxSchedulerPolicy.SCHED_FIFO } })],
  [Field.RdtClosID, linux({ rdt: { closId: { value: 'c' } } })],
  [Field.RdtSchemata, linux({ rdt: { schemata: { value: ['L3:0=f'] } } })],
  [Field.RdtEnableMonitoring, linux({ rdt: { enableMonitoring: { value: true } } })],
  [Field.MemoryPolicy, linux({ memoryPolicy: { mode: MpolMode.MPOL_BIND, nodes: '0' } })],
];

test('the matrix has every field of the schema', () => {
  const known = new Set(settings.map(([field]) => field));
  const missing = Object.entries(Field).filter(
    ([, field]) => field !== Field.None && field !== Field.OciHooks && !known.has(field),
  );
  assert.deepEqual(missing, []);
});

for (const [field, adjust, key] of settings) {
  const name = Object.entries(Field).find(([, number]) => number === field)?.[0];

  test(`${name} belongs to the first plugin that sets it; the second is refused with both names`, () => {
    const merged = merge();
    merged.add('10-a', response(adjust));
    const what = key === undefined ? name : `${name} [${key}]`;
    assert.throws(
      () => {
        merged.add('20-b', response(adjust));
      },
      {
        kind: 'failed-precondition',
        message: `plugins "20-b" and "10-a" both tried to set ${what}`,
      },
    );
    const { simple, compound } = merged.owners.message.owners['c'] ?? {};
    const owner = key === undefined ? simple?.[field] : compound?.[field]?.owners[key];
    assert.equal(owner, '10-a');
    assert.equal(merged.owners.of('c').length, 1);
  });

  test(`${name} meets no other field`, () => {
    const merged = merge();
    const others = settings.filter(([other]) => other !== field);
    merged.add('10-a', response(adjust));
    for (const [, other] of others) {
      merged.add('20-b', response(other));
    }
    assert.equal(merged.owners.of('c').length, settings.length);
  });

  test(`${name} is in the result as it was asked for`, () => {
    const merged = merge();
    merged.add('10-a', response(adjust));
    const wanted = response(adjust).adjust;
    // A part that is there and empty says the same as one that is not.
    assert.deepEqual(plain(merged.result), plain(wanted));
  });
}

/** Without names of types and without parts in which nothing is set. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(plain);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  const entries = Object.entries(value)
    .filter(([name]) => name !== '$typeName')
    .map(([name, part]) => [name, plain(part)] as const)
    .filter(([, part]) => !(typeof part === 'object' && Object.keys(part as object).length === 0));
  return Object.fromEntries(entries);
}

const removable: readonly (readonly [string, set: Adjust, remove: Adjust, left: Adjust])[] = [
  [
    'an annotation',
    { annotations: { k: 'a' } },
    { annotations: { '-k': '' } },
    { annotations: { '-k': '', k: 'b' } },
  ],
  [
    'a mount',
    { mounts: [{ destination: '/m', source: 'a' }] },
    { mounts: [{ destination: '-/m' }] },
    { mounts: [{ destination: '-/m' }, { destination: '/m', source: 'b' }] },
  ],
  [
    'a variable',
    { env: [{ key: 'K', value: 'a' }] },
    { env: [{ key: '-K' }] },
    { env: [{ key: '-K' }, { key: 'K', value: 'b' }] },
  ],
  [
    'a device',
    linux({ devices: [{ path: '/dev/x', type: 'c' }] }),
    linux({ devices: [{ path: '-/dev/x' }] }),
    linux({ devices: [{ path: '-/dev/x' }, { path: '/dev/x', type: 'b' }] }),
  ],
  [
    'a sysctl',
    linux({ sysctl: { s: '1' } }),
    linux({ sysctl: { '-s': '' } }),
    linux({ sysctl: { '-s': '', s: '2' } }),
  ],
  [
    'a network device',
    linux({ netDevices: { e: { name: 'a' } } }),
    linux({ netDevices: { '-e': {} } }),
    linux({ netDevices: { '-e': {}, e: { name: 'b' } } }),
  ],
  [
    'RDT',
    linux({ rdt: { closId: { value: 'a' } } }),
    linux({ rdt: { remove: true } }),
    linux({ rdt: { remove: true, closId: { value: 'b' } } }),
  ],
];

for (const [what, set, remove, override] of removable) {
  test(`${what} of another plugin may be removed, and set anew by the one that removed it`, () => {
    const merged = merge();
    merged.add('10-a', response(set));
    merged.add('20-b', response(override));
    assert.deepEqual(plain(merged.result), plain(response(override).adjust));
    assert.throws(
      () => {
        merged.add('30-c', response(set));
      },
      { message: /"30-c" and "20-b"/ },
    );
  });

  test(`a removal of ${what} is handed on, for what the container itself has`, () => {
    const merged = merge();
    merged.add('10-a', response(remove));
    assert.deepEqual(plain(merged.result), plain(response(remove).adjust));
    assert.throws(
      () => {
        merged.add('20-b', response(set));
      },
      { message: /"20-b" and "10-a"/ },
    );
  });
}

test('arguments are replaced where the first one is empty', () => {
  const merged = merge();
  merged.add('10-a', response({ args: ['a'] }));
  merged.add('20-b', response({ args: ['', 'b', 'c'] }));
  assert.deepEqual(merged.result?.args, ['b', 'c']);
  assert.deepEqual(merged.container.args, ['b', 'c']);
});

test('removing a namespace that another plugin has set is a conflict', () => {
  const merged = merge();
  merged.add('10-a', response(linux({ namespaces: [{ type: 'ipc', path: '/x' }] })));
  assert.throws(
    () => {
      merged.add('20-b', response(linux({ namespaces: [{ type: '-ipc' }] })));
    },
    { message: /both tried to set Namespace \[ipc\]/ },
  );
});

test('hooks and device rules of all plugins are kept, one after the other', () => {
  const merged = merge();
  const rule = (major: bigint) => ({ allow: true, type: 'c', major: { value: major } });
  for (const [plugin, path, major] of [
    ['10-a', '/a', 1n],
    ['20-b', '/b', 2n],
  ] as const) {
    merged.add(
      plugin,
      response({
        hooks: { poststop: [{ path }] },
        linux: { resources: { devices: [rule(major)] } },
      } as Adjust),
    );
  }
  assert.deepEqual(
    merged.result?.hooks?.poststop.map(({ path }) => path),
    ['/a', '/b'],
  );
  assert.equal(merged.result.linux?.resources?.devices.length, 2);
  assert.equal(merged.owners.message.owners['c']?.simple[Field.OciHooks], '10-a,20-b');
});

test('each plugin sees the container as those before it have left it', () => {
  const merged = new MergedAdjustment(
    create(ContainerSchema, {
      id: 'c',
      env: ['PATH=/bin', 'OLD=1', 'KEEP=1'],
      mounts: [{ destination: '/old' }, { destination: '/m', source: 'before' }],
      annotations: { a: '1' },
    }),
  );
  merged.add(
    '10-a',
    response({
      env: [{ key: '-OLD' }, { key: 'PATH', value: '/sbin' }, { key: 'NEW', value: 'x=y' }],
      mounts: [{ destination: '-/old' }, { destination: '/m', source: 'after' }],
      annotations: { '-a': '', b: '2' },
    }),
  );
  const { container } = merged;
  assert.deepEqual(container.env, ['PATH=/sbin', 'KEEP=1', 'NEW=x=y']);
  assert.deepEqual(
    container.mounts.map(({ destination, source }) => [destination, source]),
    [['/m', 'after']],
  );
  assert.deepEqual(container.annotations, { b: '2' });
});

test('keys that JavaScript knows are keys like any other', () => {
  const merged = merge();
  const odd = ['constructor', 'toString', 'hasOwnProperty', '__proto__'];
  merged.add('10-a', response({ env: odd.map((key) => ({ key, value: '1' })) }));
  assert.equal(merged.owners.of('c').length, 4);
  assert.throws(
    () => {
      merged.add('20-b', response({ env: [{ key: 'constructor', value: '' }] }));
    },
    { message: /Env \[constructor\]/ },
  );
  const updates = new MergedUpdates(new Owners());
  const update = create(ContainerUpdateSchema, {
    containerId: '__proto__',
    linux: { resources: { cpu: { cpus: '0' } } },
  });
  updates.add('10-a', update);
  assert.equal(updates.all.length, 1);
});

const updateOf = (
  containerId: string,
  cpus: string,
  more: { ignoreFailure?: boolean; mems?: string } = {},
) =>
  create(ContainerUpdateSchema, {
    containerId,
    ignoreFailure: more.ignoreFailure ?? false,
    linux: { resources: { cpu: { cpus, mems: more.mems ?? '' } } },
  });

test('updates of one container are merged; it may fail only where all of them say so', () => {
  const updates = new MergedUpdates(new Owners());
  updates.add('10-a', updateOf('x', '0', { ignoreFailure: true }));
  updates.add('20-b', updateOf('x', '', { ignoreFailure: true, mems: '1' }));
  updates.add('10-a', updateOf('y', '2', { ignoreFailure: true }));
  updates.add(
    '20-b',
    create(ContainerUpdateSchema, {
      containerId: 'y',
      linux: { resources: { pids: { limit: 5n } } },
    }),
  );
  const [x, y] = updates.all.map(({ linux: part, ignoreFailure }) => ({
    ...part?.resources,
    ignoreFailure,
  }));
  assert.deepEqual([x?.cpu?.cpus, x?.cpu?.mems, x?.ignoreFailure], ['0', '1', true]);
  // The reference loses it: it reads another variable.
  assert.deepEqual([y?.pids?.limit, y?.ignoreFailure], [5n, false]);
});

test('an update that conflicts fails, or changes nothing where it may be ignored', () => {
  const updates = new MergedUpdates(new Owners());
  updates.add('10-a', updateOf('x', '0'));
  assert.throws(
    () => {
      updates.add('20-b', updateOf('x', '1'));
    },
    { kind: 'failed-precondition' },
  );
  updates.add('20-b', updateOf('x', '1', { ignoreFailure: true, mems: '1' }));
  const [x] = updates.all;
  assert.deepEqual([x?.linux?.resources?.cpu?.cpus, x?.linux?.resources?.cpu?.mems], ['0', '']);
});

test('a plugin may not update the container that is being created', () => {
  assert.throws(
    () => {
      merge().add('10-a', create(CreateContainerResponseSchema, { update: [updateOf('c', '0')] }));
    },
    { message: /"10-a" asked to update the container that is being created/ },
  );
});

test('limits that are asked for pass from plugin to plugin; untouched ones are none', () => {
  const asked = create(LinuxResourcesSchema, { cpu: { cpus: '0-3', shares: { value: 7n } } });
  const merged = new MergedLimits('c', new Owners(), asked);
  const untouched = merged.result;
  assert.equal(untouched, undefined);
  merged.add('10-a', [updateOf('c', '0'), updateOf('other', '3')]);
  assert.equal(merged.resources.cpu?.cpus, '0');
  assert.deepEqual([merged.result?.cpu?.cpus, merged.result?.cpu?.shares?.value], ['0', 7n]);
  assert.equal(merged.others.length, 1);
  assert.throws(
    () => {
      merged.add('20-b', [updateOf('c', '1')]);
    },
    { message: /"20-b" and "10-a" both tried to set CPUSetCPUs/ },
  );
  assert.equal(asked.cpu?.cpus, '0-3');
});

test('evictions are kept', () => {
  const merged = merge();
  merged.add(
    '10-a',
    create(CreateContainerResponseSchema, { evict: [{ containerId: 'x', reason: 'r' }] }),
  );
  assert.deepEqual(
    merged.evictions.map(({ containerId }) => containerId),
    ['x'],
  );
  assert.equal(merged.result, undefined);
});
