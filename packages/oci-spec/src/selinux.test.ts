import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind } from '@gantry/errors';
import { testGoldens } from './golden-file.ts';
import {
  containerLabels,
  containerSpec,
  freeSelinuxLevel,
  parseLxcContexts,
  pauseSpec,
  podLabels,
  type SelinuxOptions,
  selinuxLevelOf,
  sharedLabel,
} from './index.ts';
import { containerInput, pauseInput, plainHost, plainSandbox } from './testing.ts';

const on = { ...plainHost, selinux: true };
/** As Fedora's container-selinux has it. */
const policy = parseLxcContexts(`process = "system_u:system_r:container_t:s0"
content = "system_u:object_r:virt_var_lib_t:s0"
file = "system_u:object_r:container_file_t:s0"
ro_file="system_u:object_r:container_ro_file_t:s0"
sandbox_kvm_process = "system_u:system_r:container_kvm_t:s0"
`) ?? { process: '', file: '' };

const options = (selinuxOptions: object, more: object = {}) => ({
  linux: { securityContext: { selinuxOptions, ...more } },
});
const asked = (some: Partial<SelinuxOptions>): SelinuxOptions => ({
  user: '',
  role: '',
  type: '',
  level: '',
  ...some,
});

for (const [what, host, wanted, kind] of [
  ['any label where SELinux is off', plainHost, { type: 'x_t', level: 's0:c1,c2' }, undefined],
  ['no label where it is on', on, {}, undefined],
  ['a label where nobody hands any out', on, { type: 'x_t' }, 'failed-precondition'],
  ['a level where nobody hands any out', on, { level: 's0:c1,c2' }, 'failed-precondition'],
  ['the type of what is not confined', on, { type: 'spc_t', user: 'system_u' }, undefined],
  ['a level that is none, SELinux or not', plainHost, { level: 'high' }, 'invalid-argument'],
  ['a type that is two', plainHost, { type: 'a_t:s0' }, 'invalid-argument'],
  ['a user with a line break', plainHost, { user: 'u\n' }, 'invalid-argument'],
  [
    'a level that is none for what is not confined',
    on,
    { type: 'spc_t', level: '0' },
    'invalid-argument',
  ],
] as const) {
  test(`${what} is ${kind === undefined ? 'taken' : `refused as ${kind}`}`, () => {
    const sandbox = plainSandbox(options(wanted), { namespaces: {} });
    for (const make of [
      () => containerSpec(containerInput(options(wanted), { host })),
      () => pauseSpec(pauseInput({ host, sandbox })),
    ]) {
      if (kind === undefined) {
        assert.equal(make().process.selinuxLabel, undefined);
      } else {
        assert.throws(make, (error) => isKind(error, kind));
      }
    }
  });
}

// The list of containerd's own test of the format.
for (const [level, isOne] of [
  ['s0', true],
  ['s0-s0', true],
  ['s0-s15', false],
  ['s0:c0', true],
  ['s0:c0.c3', true],
  ['s0:c0,c3', true],
  ['s0-s0:c0,c3.c6,c8,c10', true],
  ['s0:c0.c1023', true],
  ['s0,c0,c3', false],
  ['s0:c0.c3.c6', false],
  ['s0-s0,c0,c3', false],
  ['s0:c5.c2', false],
  ['s3-s1', false],
  ['s0:c1024', false],
  ['s0:c1,', false],
  ['s0:c1 ', false],
] as const) {
  test(`${JSON.stringify(level)} is ${isOne ? 'a' : 'no'} level`, () => {
    const make = () => containerSpec(containerInput(options({ level })));
    if (isOne) {
      make();
    } else {
      assert.throws(make, (error) => isKind(error, 'invalid-argument'));
    }
  });
}

test('a privileged container has no label, whatever it asks for', () => {
  const sandbox = plainSandbox({ linux: { securityContext: { privileged: true } } });
  const config = options({ type: 'x_t' }, { privileged: true });
  const spec = containerSpec(containerInput(config, { host: on, sandbox }));
  assert.equal(spec.process.selinuxLabel, undefined);
});

test('a policy without a process or a file for containers is none', () => {
  assert.equal(parseLxcContexts(''), undefined);
  assert.equal(parseLxcContexts('process = "system_u:system_r:container_t:s0"\n'), undefined);
  assert.equal(parseLxcContexts('process = "nonsense"\nfile = "a:b:c"\n'), undefined);
});

test('a pod has the level that is free, or the one that it asks for, in both labels', () => {
  assert.deepEqual(podLabels(policy, undefined, 's0:c7,c9'), {
    process: 'system_u:system_r:container_t:s0:c7,c9',
    mount: 'system_u:object_r:container_file_t:s0:c7,c9',
  });
  assert.deepEqual(podLabels(policy, asked({ level: 's0:c4,c5' }), 's0:c7,c9'), {
    process: 'system_u:system_r:container_t:s0:c4,c5',
    mount: 'system_u:object_r:container_file_t:s0:c4,c5',
  });
});

test('type and role are of processes, user and level of files too', () => {
  const all = asked({ user: 'a_u', role: 'b_r', type: 'c_t', level: 's0:c1' });
  assert.deepEqual(podLabels(policy, all, 's0:c7,c9'), {
    process: 'a_u:b_r:c_t:s0:c1',
    mount: 'a_u:object_r:container_file_t:s0:c1',
  });
});

test('a container has what its pod has, but for what it asks for itself', () => {
  const pod = podLabels(policy, asked({ type: 'pod_t' }), 's0:c7,c9');
  assert.deepEqual(containerLabels(pod, undefined), pod);
  assert.deepEqual(containerLabels(pod, asked({ type: 'own_t' })), {
    ...pod,
    process: 'system_u:system_r:own_t:s0:c7,c9',
  });
  assert.deepEqual(containerLabels(pod, asked({ level: 's0' })), {
    process: 'system_u:system_r:pod_t:s0',
    mount: 'system_u:object_r:container_file_t:s0',
  });
});

test('a policy without levels gets none', () => {
  const plain = { process: 'system_u:system_r:container_t', file: 'system_u:object_r:file_t' };
  const labels = podLabels(plain, undefined, 's0:c7,c9');
  assert.deepEqual(labels, { process: plain.process, mount: plain.file });
  assert.equal(sharedLabel(labels), plain.file);
  assert.equal(selinuxLevelOf(labels.process), '');
});

test('what all containers of a pod use is in no category', () => {
  const labels = podLabels(policy, asked({ level: 's0-s1:c1,c2' }), '');
  assert.equal(selinuxLevelOf(labels.mount), 's0-s1:c1,c2');
  assert.equal(sharedLabel(labels), 'system_u:object_r:container_file_t:s0');
});

test('levels are pairs of categories, each of them once, and none that is taken', () => {
  const taken = new Set<string>();
  for (const at of [0, 1, 2, 0, 0, 523_775, 523_775]) {
    const level = freeSelinuxLevel(taken, () => at);
    const [, low, high] = /^s0:c(\d+),c(\d+)$/.exec(level) ?? [];
    assert.ok(Number(low) < Number(high) && Number(high) < 1024, level);
    assert.ok(!taken.has(level), `${level} is taken`);
    taken.add(level);
  }
  assert.ok(taken.has('s0:c0,c1') && taken.has('s0:c1022,c1023'));
});

test('when every level is taken there is none', () => {
  const every: ReadonlySet<string> = new (class extends Set<string> {
    override has(): boolean {
      return true;
    }
  })();
  assert.throws(
    () => freeSelinuxLevel(every, () => 5),
    (error) => isKind(error, 'resource-exhausted'),
  );
});

const podOptions = asked({ level: 's0:c10,c20' });
const labels = podLabels(policy, podOptions, '');
const containerOptions = asked({ type: 'web_t' });

testGoldens({
  'container-selinux': () =>
    containerSpec(
      containerInput(options(containerOptions), {
        host: on,
        selinux: containerLabels(labels, containerOptions),
      }),
    ),
  'container-selinux-privileged': () =>
    containerSpec(
      containerInput(options(podOptions, { privileged: true }), {
        host: on,
        selinux: labels,
        sandbox: plainSandbox({ linux: { securityContext: { privileged: true } } }),
      }),
    ),
  'pause-selinux': () =>
    pauseSpec(
      pauseInput({
        host: on,
        selinux: labels,
        sandbox: plainSandbox(options(podOptions), { namespaces: {} }),
      }),
    ),
});
