import assert from 'node:assert/strict';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bindMount, makeNode, mountTmpfs, run, unmount } from '@gantry/host';
import { MountPropagation } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import { textOfLog } from './harness/log-text.ts';
import {
  type ContainerConfig,
  ContainerState,
  logPathOf,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// Devices, also by CDI; OCI hooks; mounts that pass mounts on, or keep all below them read-only.

let stack: Stack;
let pod: RunningPod;
before(async () => {
  stack = await startStack({
    pods: (dir) =>
      `cdi_spec_dirs = ["${dir}/cdi"]\nhooks_dirs = ["${dir}/hooks"]\ndevice_ownership_from_security_context = true`,
  });
  await mkdir(join(stack.dir, 'cdi'));
  await mkdir(join(stack.dir, 'hooks'));
  pod = await runPod(stack, podConfig(stack, 'devices'));
});
after(async () => {
  await removePod(stack, pod.podSandboxId);
  await stack[Symbol.asyncDispose]();
});

/** Messages within are written as literals. */
type Fields = Readonly<Partial<Record<keyof ContainerConfig, unknown>>>;
const container = (name: string, script: string, more: Fields = {}): ContainerConfig =>
  shellContainer(name, script, more as Partial<ContainerConfig>);
const statusOf = async (containerId: string) => {
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.ok(status);
  return status;
};

async function outputOf(config: ContainerConfig): Promise<string> {
  const containerId = await startContainer(stack, pod, config);
  await until(
    'its end',
    () => statusOf(containerId),
    (s) => s.state === ContainerState.CONTAINER_EXITED,
  );
  const log = await readFile(logPathOf(pod, config), 'utf8');
  await stack.runtime.removeContainer({ containerId });
  return textOfLog(log);
}

const refused = (config: ContainerConfig, kind: string, message: RegExp) =>
  assert.rejects(
    stack.runtime.createContainer({ podSandboxId: pod.podSandboxId, config }),
    (error: Error & { kind?: string }) => {
      assert.equal(error.kind, kind, error.message);
      assert.match(error.message, message);
      return true;
    },
  );

test('CDI devices come with nodes, environment, mounts and hooks, as soon as their file is there', async () => {
  const config = container(
    'cdi',
    'echo $FAST $BOTH; ls -l /dev/fast; head -c 1 /dev/fast | wc -c; cat /vendor/data',
    {
      CDIDevices: [{ name: 'vendor.example/fast=one' }],
      annotations: { 'cdi.k8s.io/old-kubelet': 'vendor.example/fast=two' },
    },
  );
  await refused(config, 'invalid-argument', /unresolvable CDI devices vendor\.example\/fast=one/);
  const seen = join(stack.dir, 'hook-saw');
  const hook = join(stack.dir, 'hook.sh');
  await writeFile(hook, `#!/bin/sh\ncat > "${seen}.$1"\n`, { mode: 0o755 });
  await mkdir(join(stack.dir, 'vendor'));
  await writeFile(join(stack.dir, 'vendor/data'), 'of the vendor\n');
  await writeFile(
    join(stack.dir, 'cdi/vendor.yaml'),
    `cdiVersion: "0.6.0"
kind: vendor.example/fast
devices:
  - name: one
    containerEdits:
      env: [FAST=yes]
      deviceNodes:
        - {path: /dev/fast, hostPath: /dev/zero, permissions: r}
        - {path: /dev/words, hostPath: /dev/kmsg, permissions: r}
  - name: two
    containerEdits:
      env: [BOTH=too]
containerEdits:
  mounts:
    - {hostPath: "${stack.dir}/vendor", containerPath: /vendor, options: [ro, bind, nosuid]}
  hooks:
    - {hookName: createRuntime, path: ${hook}, args: [hook.sh, created]}
    - {hookName: poststop, path: ${hook}, args: [hook.sh, stopped]}
`,
  );
  const text = await outputOf(config);
  assert.match(
    text,
    /^yes too\ncrw-rw-rw- +1 root +root +1, +5 .*\/dev\/fast\n1\nof the vendor\n$/,
  );
  for (const stage of ['created', 'stopped']) {
    const state = JSON.parse(await readFile(`${seen}.${stage}`, 'utf8')) as { bundle: string };
    assert.ok(state.bundle.startsWith(stack.stateDir));
  }
  // It may be read, and nothing else.
  const { CDIDevices } = config;
  assert.match(
    await outputOf(container('cdi-write', 'ls /dev/words; echo x > /dev/words', { CDIDevices })),
    /^\/dev\/words\n.*not permitted/,
  );
  await rm(join(stack.dir, 'cdi/vendor.yaml'));
  await refused(config, 'invalid-argument', /unresolvable CDI devices/);
});

test('OCI hooks run for the containers that their conditions name', async () => {
  const seen = join(stack.dir, 'oci-hook-saw');
  const hook = join(stack.dir, 'oci-hook.sh');
  await writeFile(hook, `#!/bin/sh\nread -r state; echo "$1 $state" >> "${seen}"\n`, {
    mode: 0o755,
  });
  const file = (stages: string[], when: object) =>
    JSON.stringify({
      version: '1.0.0',
      hook: { path: hook, args: ['hook', stages[0]] },
      when,
      stages,
    });
  await writeFile(
    join(stack.dir, 'hooks/10-traced.json'),
    file(['createRuntime', 'poststart'], { annotations: { '^io\\.example/traced$': '^(yes|1)$' } }),
  );
  await outputOf(container('not-traced', 'true'));
  await assert.rejects(readFile(seen), { code: 'ENOENT' });
  await outputOf(container('traced', 'sleep 0.2', { annotations: { 'io.example/traced': 'yes' } }));
  const lines = (await readFile(seen, 'utf8')).trim().split('\n');
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? '', /^createRuntime \{.*"bundle"/);

  await writeFile(join(stack.dir, 'hooks/20-broken.json'), '{"version": "1.0.0"}');
  await refused(container('broken', 'true'), 'failed-precondition', /20-broken\.json: hook/);
  await rm(join(stack.dir, 'hooks/20-broken.json'));
  await writeFile(
    join(stack.dir, 'hooks/20-fails.json'),
    JSON.stringify({
      version: '1.0.0',
      hook: { path: '/bin/false' },
      when: { commands: ['^/bin/sh$'] },
      stages: ['createRuntime'],
    }),
  );
  await assert.rejects(startContainer(stack, pod, container('stopped', 'true')), /hook/);
  await rm(join(stack.dir, 'hooks'), { recursive: true });
});

test('a directory of devices stands for all in it, and links of the host are followed', async () => {
  const directory = join(stack.dir, 'nodes');
  await mkdir(join(directory, 'sub'), { recursive: true });
  await mountTmpfsWithDevices(directory);
  await symlink('/dev/zero', join(stack.dir, 'zero-link'));
  const config = container(
    'devices',
    'ls -l /dev/all/a /dev/all/sub/b /dev/linked | cut -c1 | tr -d "\\n"; head -c 2 /dev/linked | wc -c; head -c 1 /dev/all/a | wc -c',
    {
      devices: [
        { hostPath: directory, containerPath: '/dev/all', permissions: 'r' },
        { hostPath: join(stack.dir, 'zero-link'), containerPath: '/dev/linked', permissions: 'rw' },
      ],
    },
  );
  try {
    assert.equal(await outputOf(config), 'ccc2\n1\n');
  } finally {
    await unmount(directory, { detach: true });
  }
});

async function mountTmpfsWithDevices(directory: string): Promise<void> {
  // The temporary directory may refuse devices.
  const { exitCode } = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'devices', directory]);
  assert.equal(exitCode, 0);
  await mkdir(join(directory, 'sub'));
  // Character devices.
  makeNode(Buffer.from(join(directory, 'a')), 0o020666, 1, 5);
  makeNode(Buffer.from(join(directory, 'sub/b')), 0o020666, 1, 3);
  await writeFile(join(directory, 'not-a-device'), '');
}

test('a device belongs to whom its container runs as, where that is configured', async () => {
  const config = container(
    'owned',
    'id -u; stat -c "%u:%g" /dev/mine; head -c 1 /dev/mine | wc -c',
    {
      devices: [{ hostPath: '/dev/zero', containerPath: '/dev/mine', permissions: 'r' }],
      linux: { securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n } } },
    },
  );
  assert.equal(await outputOf(config), '1000\n1000:2000\n1\n');
});

test('recursive read-only reaches the mounts below, plain read-only does not', async () => {
  const directory = join(stack.dir, 'tree');
  await mkdir(join(directory, 'sub'), { recursive: true });
  await mountTmpfs({ target: join(directory, 'sub'), sizeBytes: 1 << 20, mode: 0o777 });
  try {
    const config = container('rro', 'touch /plain/x /plain/sub/x /all/sub/y; ls /all/sub', {
      mounts: [
        { containerPath: '/plain', hostPath: directory, readonly: true },
        { containerPath: '/all', hostPath: directory, readonly: true, recursiveReadOnly: true },
      ],
    });
    const text = await outputOf(config);
    assert.match(text, /\/plain\/x: Read-only file system/);
    assert.doesNotMatch(text, /\/plain\/sub\/x: /);
    assert.match(text, /\/all\/sub\/y: Read-only file system/);
    assert.match(text, /^x$/m);
    for (const mount of [
      { readonly: false },
      { readonly: true, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER },
    ]) {
      await refused(
        container('wrong', 'true', {
          mounts: [{ containerPath: '/d', hostPath: directory, recursiveReadOnly: true, ...mount }],
        }),
        'invalid-argument',
        /recursive_read_only needs readonly and private propagation/,
      );
    }
  } finally {
    await unmount(join(directory, 'sub'), { detach: true });
  }
});

test('mounts pass between host and container as their propagation says, where the host has it so', async () => {
  const host = await hostOf(stack);
  const shared = join(stack.dir, 'shared');
  const other = join(stack.dir, 'other');
  await mkdir(join(shared, 'late'), { recursive: true });
  await mkdir(other);
  await writeFile(join(other, 'file'), '');
  const mounts = [
    {
      containerPath: '/slave',
      hostPath: shared,
      propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    },
    { containerPath: '/private', hostPath: shared },
  ];
  const config = container(
    'propagation',
    'until [ -e /slave/late/file ]; do sleep 0.05; done; ls /slave/late /private/late',
    { mounts },
  );
  const containerId = await startContainer(stack, pod, config);
  await bindMount({ source: other, target: join(shared, 'late') });
  await until(
    'its end',
    () => statusOf(containerId),
    (s) => s.state === ContainerState.CONTAINER_EXITED,
  );
  const text = (await readFile(logPathOf(pod, config), 'utf8')).replace(/^\S+ stdout F /gm, '');
  assert.equal(text, '/private/late:\n\n/slave/late:\nfile\n');
  await unmount(join(shared, 'late'));

  await run('mount', ['--bind', shared, shared]);
  await run('mount', ['--make-private', shared]);
  try {
    for (const propagation of [
      MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
      MountPropagation.PROPAGATION_BIDIRECTIONAL,
    ]) {
      await refused(
        container('private', 'true', {
          mounts: [{ containerPath: '/d', hostPath: shared, propagation }],
        }),
        'failed-precondition',
        /is mounted but it is not a shared/,
      );
    }
  } finally {
    await unmount(shared);
  }
  await stack.runtime.removeContainer({ containerId });
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});

for (const [what, securityContext, kind, message] of [
  [
    'a user id over 2^32',
    { runAsUser: { value: 1n << 32n } },
    'invalid-argument',
    /user: id -?\d+ is not in/,
  ],
  [
    'a negative user id',
    { runAsUser: { value: -1n } },
    'invalid-argument',
    /user: id -?\d+ is not in/,
  ],
  [
    'a group id over 2^32',
    { runAsUser: { value: 1n }, runAsGroup: { value: 1n << 40n } },
    'invalid-argument',
    /group: id \d+ is not in/,
  ],
  [
    'a supplemental group over 2^32',
    { supplementalGroups: [1n << 33n] },
    'invalid-argument',
    /supplemental_groups/,
  ],
  [
    'an AppArmor profile where AppArmor is off',
    { apparmor: { profileType: 2, localhostRef: 'mine' } },
    'failed-precondition',
    /apparmor/,
  ],
  [
    'an SELinux level that is none',
    { selinuxOptions: { level: 'top secret' } },
    'invalid-argument',
    /no level/,
  ],
] as const) {
  test(`${what} is refused`, async () => {
    await refused(container('refused', 'true', { linux: { securityContext } }), kind, message);
  });
}

test('SELinux labels are of no consequence where SELinux is off, as with the peers', async () => {
  const selinuxOptions = { user: 'u', role: 'r', type: 'spc_t', level: 's0:c1,c2' };
  const config = container('selinux', 'echo runs', {
    linux: { securityContext: { selinuxOptions } },
  });
  assert.equal(await outputOf(config), 'runs\n');
});
