import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  ContainerAdjustmentSchema,
  IOPrioClass,
  type LinuxContainerAdjustmentSchema,
  LinuxResourcesSchema,
  LinuxSchedulerPolicy,
  MpolMode,
} from '@gantry/proto/nri';
import { refuseUnsupported, refuseUnsupportedLimits } from './unsupported.ts';

type Linux = Exclude<
  MessageInitShape<typeof LinuxContainerAdjustmentSchema>,
  { $typeName: string }
>;

const handler = (features?: object) => ({
  name: 'runc',
  path: '/usr/sbin/runc',
  systemdCgroup: false,
  privilegedWithoutHostDevices: false,
  ...(features && { features }),
});
const old = handler({ ociVersionMax: '1.0.2-dev' });
const newest = handler({
  ociVersionMax: '1.3.0',
  linux: { netDevices: { enabled: true }, memoryPolicy: { modes: ['MPOL_BIND'] } },
});
const ask = (linux: Linux, runtime = old) =>
  refuseUnsupported('c', create(ContainerAdjustmentSchema, { linux }), [], runtime);

const ofRuntime: readonly (readonly [string, Linux])[] = [
  ['IoPriority', { ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE } }],
  ['LinuxSched', { scheduler: { policy: LinuxSchedulerPolicy.SCHED_FIFO } }],
  ['LinuxNetDevices', { netDevices: { eth1: {} } }],
  ['MemoryPolicy', { memoryPolicy: { mode: MpolMode.MPOL_BIND } }],
];
for (const [field, linux] of ofRuntime) {
  test(`${field} is refused where the OCI runtime would pass it over, and only there`, async () => {
    await assert.rejects(ask(linux), {
      kind: 'failed-precondition',
      message: new RegExp(`wants ${field}: OCI runtime "runc" can not do it`),
    });
    await assert.rejects(ask(linux, handler()), { kind: 'failed-precondition' });
    await ask(linux, newest);
  });
}

const ofNobody: readonly (readonly [string, Linux])[] = [
  ['BlockioClass', { resources: { blockioClass: { value: 'fast' } } }],
  ['MemKernelLimit', { resources: { memory: { kernel: { value: 1n } } } }],
  ['MemTCPLimit', { resources: { memory: { kernelTcp: { value: 1n } } } }],
  ['OomScoreAdj', { oomScoreAdj: { value: 5000n } }],
];
for (const [field, linux] of ofNobody) {
  test(`${field} is refused, with the name of the plugin`, async () => {
    const owners = [{ field, key: '', plugin: '10-a', action: 'set' }];
    const adjust = create(ContainerAdjustmentSchema, { linux });
    const containers = [{ containerId: 'c', owners }] as never;
    await assert.rejects(refuseUnsupported('c', adjust, containers, newest), {
      message: new RegExp(`^plugin "10-a" wants ${field}: `),
    });
  });
}

test('what takes away, and what every runtime knows, is never refused', async () => {
  await ask({
    ioPriority: {},
    scheduler: {},
    netDevices: { '-eth1': {} },
    rdt: { remove: true },
    resources: { blockioClass: { value: '' }, rdtClass: { value: '' }, pids: { limit: 5n } },
    oomScoreAdj: { value: -1000n },
  });
});

test('limits that can only be set at the creation are refused later', () => {
  const limits = (init: MessageInitShape<typeof LinuxResourcesSchema>, isRunning: boolean) => {
    refuseUnsupportedLimits('c', create(LinuxResourcesSchema, init), [], isRunning);
  };
  const swappiness = { memory: { swappiness: { value: 5n } } };
  assert.throws(() => {
    limits(swappiness, true);
  }, /wants MemSwappiness: it can be set when a container is created, and not later/);
  limits(swappiness, false);
  assert.throws(() => {
    limits({ rdtClass: { value: 'gold' } }, false);
  }, /wants RdtClass/);
  assert.throws(() => {
    limits({ devices: [{ allow: true }] }, false);
  }, /wants Devices/);
  limits({ cpu: { cpus: '0' }, memory: { limit: { value: 5n } }, pids: { limit: 5n } }, true);
});
