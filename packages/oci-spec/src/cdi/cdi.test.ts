import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { isKind, messageOf } from '@gantry/errors';
import { ContainerConfigSchema } from '@gantry/proto';
import { testGoldens } from '../golden-file.ts';
import { containerSpec } from '../index.ts';
import { containerInput } from '../testing.ts';
import { applyCdiEdits, nodesToFind } from './apply-edits.ts';
import { type CdiDirectory, editsOf, parseCdiSpec } from './cdi-spec.ts';
import { cdiDevicesOf, parseCdiName } from './device-name.ts';

const gpu = {
  cdiVersion: '0.6.0',
  kind: 'vendor.example/gpu',
  annotations: { made: 'by hand' },
  devices: [
    {
      name: '0',
      containerEdits: {
        env: ['GPU=0', 'LANG=C'],
        deviceNodes: [
          { path: '/dev/gpu0', hostPath: '/dev/real0', permissions: 'rw' },
          { path: '/dev/ctl', type: 'c', major: 195, minor: 255, fileMode: 0o666, uid: 5, gid: 6 },
        ],
      },
    },
    { name: 'all', containerEdits: { env: ['GPU=all'], additionalGids: [44, 0, 44] } },
  ],
  containerEdits: {
    mounts: [
      { hostPath: '/usr/lib/gpu', containerPath: '/usr/lib/gpu/deep', options: ['ro', 'bind'] },
      { hostPath: 'tmpfs', containerPath: '/cache', options: ['mode=755'], type: 'tmpfs' },
      { hostPath: '/etc/gpu', containerPath: '/data' },
    ],
    hooks: [
      {
        hookName: 'createContainer',
        path: '/usr/bin/gpu-hook',
        args: ['gpu-hook', 'link'],
        timeout: 5,
      },
      { hookName: 'poststop', path: '/usr/bin/gpu-clean', env: ['A=b'] },
    ],
    intelRdt: { closID: 'gpu' },
  },
};
const directory = (...specs: readonly object[]): CdiDirectory =>
  specs.map((spec, index) => ({ path: `/etc/cdi/${index}.json`, spec: parseCdiSpec(spec, 'cdi') }));
const names = (...devices: readonly string[]) => devices.map((d) => parseCdiName(d, 'field'));

testGoldens({
  'container-cdi': () => {
    const edits = editsOf(names('vendor.example/gpu=0', 'vendor.example/gpu=all'), [
      directory(gpu),
    ]);
    const found = { type: 'c', major: 195, minor: 0, fileMode: 0o660 } as const;
    return applyCdiEdits(
      containerSpec(
        containerInput({
          linux: { securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 1000n } } },
        }),
      ),
      edits,
      new Map([['/dev/real0', found]]),
    );
  },
});

test('devices are asked for by the field and by annotations, each once', () => {
  const config = create(ContainerConfigSchema, {
    CDIDevices: [{ name: 'a.example/x=1' }, { name: 'a.example/x=2' }],
    annotations: {
      'cdi.k8s.io/plugin': 'a.example/x=2,b.example/y_z=dev:0.1',
      'other.io/cdi': 'nonsense',
    },
  });
  assert.deepEqual(
    cdiDevicesOf(config).map(({ kind, name }) => `${kind}=${name}`),
    ['a.example/x=1', 'a.example/x=2', 'b.example/y_z=dev:0.1'],
  );
});

for (const name of [
  '',
  'gpu',
  'vendor/gpu',
  'vendor/gpu=',
  '=0',
  'v/g=a=b',
  '1v/g=0',
  'v/g=-',
  'v//g=0',
  'v/../g=0',
  'v/g=a/b',
]) {
  test(`${JSON.stringify(name)} names no device`, () => {
    const config = create(ContainerConfigSchema, { annotations: { 'cdi.k8s.io/x': name } });
    assert.throws(
      () => cdiDevicesOf(config),
      (e) => isKind(e, 'invalid-argument') && messageOf(e).startsWith('annotation cdi.k8s.io/x: '),
    );
  });
}

test('devices that nobody describes are told, all of them', () => {
  assert.throws(
    () =>
      editsOf(names('v.example/gpu=0', 'vendor.example/gpu=0', 'v.example/gpu=1'), [
        directory(gpu),
      ]),
    (e) =>
      isKind(e, 'invalid-argument') && /v\.example\/gpu=0, v\.example\/gpu=1$/.test(messageOf(e)),
  );
});

test('a later directory counts more, and two files of one contradict each other', () => {
  const other = {
    ...gpu,
    containerEdits: {},
    devices: [{ name: '0', containerEdits: { env: ['GPU=other'] } }],
  };
  const wanted = names('vendor.example/gpu=0');
  const [common, edits] = editsOf(wanted, [directory(gpu), directory(other)]);
  assert.deepEqual([common?.env, edits?.env], [[], ['GPU=other']]);
  // What the later one lacks comes from the earlier one.
  assert.equal(
    editsOf(names('vendor.example/gpu=all'), [directory(gpu), directory(other)]).length,
    2,
  );
  assert.throws(
    () => editsOf(wanted, [directory(gpu, other)]),
    /gpu=0 is in \/etc\/cdi\/0\.json and \/etc\/cdi\/1\.json/,
  );
  assert.doesNotThrow(() => editsOf(wanted, [directory(gpu, gpu), directory(other)]));
});

test('only nodes that the file does not describe are looked up on the host', () => {
  const edits = editsOf(names('vendor.example/gpu=0'), [directory(gpu)]);
  assert.deepEqual(nodesToFind(edits), ['/dev/real0']);
  assert.throws(
    () => applyCdiEdits(containerSpec(containerInput()), edits, new Map()),
    (e) =>
      isKind(e, 'failed-precondition') &&
      /\/dev\/gpu0: \/dev\/real0 is no device/.test(messageOf(e)),
  );
});

const device = (containerEdits: object) => ({ ...gpu, devices: [{ name: 'd', containerEdits }] });
for (const [what, spec, message] of [
  ['no object', 'text', /file/],
  ['no version', { kind: 'v/c', devices: [] }, /cdiVersion/],
  ['a version to come', { ...gpu, cdiVersion: '2.0.0' }, /version from 0\.3 to 1\.1/],
  ['a kind without a class', { ...gpu, kind: 'vendor' }, /kind: must be vendor\/class/],
  ['two devices of one name', { ...gpu, devices: [gpu.devices[0], gpu.devices[0]] }, /one name/],
  ['an edit that is not known', device({ netDevices: [] }), /netDevices/],
  ['an environment without a name', device({ env: ['=x'] }), /NAME=value/],
  ['a node that is not absolute', device({ deviceNodes: [{ path: 'dev/x' }] }), /absolute/],
  [
    'odd permissions',
    device({ deviceNodes: [{ path: '/dev/x', permissions: 'rx' }] }),
    /r, w and m/,
  ],
  ['a stage that is none', device({ hooks: [{ hookName: 'later', path: '/x' }] }), /hookName/],
  ['a group beyond the last id', device({ additionalGids: [2 ** 32] }), /additionalGids/],
] as const) {
  test(`a CDI file with ${what} is refused with its path`, () => {
    assert.throws(
      () => parseCdiSpec(spec, 'CDI file /etc/cdi/x.yaml'),
      (e) =>
        isKind(e, 'failed-precondition') &&
        messageOf(e).startsWith('CDI file /etc/cdi/x.yaml: ') &&
        message.test(messageOf(e)),
    );
  });
}
