import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { MountPropagation, MountSchema, NamespaceMode } from '@gantry/proto';
import { containerSpec, pauseSpec } from './index.ts';
import type { ContainerSpecInput } from './spec-input.ts';
import { containerInput, pauseInput, plainHost, plainSandbox } from './testing.ts';

type MountInit = Exclude<MessageInitShape<typeof MountSchema>, { $typeName: string }>;
const withMount = (
  init: MountInit,
  propagation?: { shared: boolean; slave: boolean },
  changes: Partial<ContainerSpecInput> = {},
) =>
  containerInput(
    {},
    {
      mounts: [
        {
          request: create(MountSchema, { containerPath: '/m', ...init }),
          source: '/src',
          ...(propagation && { propagation }),
        },
      ],
      ...changes,
    },
  );
const mapping = (length = 65_536, containerId = 0) => [{ containerId, hostId: 100_000, length }];
const withUserns = (userns: object, sandboxUserns: object = userns) =>
  containerInput(
    { linux: { securityContext: { namespaceOptions: { usernsOptions: userns } } } },
    {
      sandbox: plainSandbox({
        linux: { securityContext: { namespaceOptions: { usernsOptions: sandboxUserns } } },
      }),
    },
  );
const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
const { PROPAGATION_BIDIRECTIONAL, PROPAGATION_HOST_TO_CONTAINER } = MountPropagation;
const pinned = { shared: false, slave: true };

const refused: readonly [what: string, input: ContainerSpecInput, kind: string, message: RegExp][] =
  [
    [
      'a privileged container in a plain pod',
      containerInput({ linux: { securityContext: { privileged: true } } }),
      'invalid-argument',
      /^privileged/,
    ],
    [
      'a relative masked path',
      containerInput({ linux: { securityContext: { maskedPaths: ['proc/kcore'] } } }),
      'invalid-argument',
      /^masked_paths: "proc/,
    ],
    [
      'a read-only path with a zero byte',
      containerInput({ linux: { securityContext: { readonlyPaths: ['/a\0'] } } }),
      'invalid-argument',
      /^readonly_paths/,
    ],
    [
      'a working directory with a zero byte',
      containerInput({ workingDir: '/a\0' }),
      'invalid-argument',
      /^working_dir/,
    ],
    [
      'a mode of ipc that is none',
      containerInput({ linux: { securityContext: { namespaceOptions: { ipc: TARGET } } } }),
      'invalid-argument',
      /^namespace_options\.ipc/,
    ],
    [
      'an SELinux level that is none',
      containerInput({ linux: { securityContext: { selinuxOptions: { level: 'gizmo' } } } }),
      'invalid-argument',
      /^selinux_options: "gizmo"/,
    ],
    [
      'target mode without a target',
      containerInput({
        linux: { securityContext: { namespaceOptions: { pid: TARGET, targetId: 'x' } } },
      }),
      'invalid-argument',
      /target_id.*"x"/,
    ],
    [
      'shared processes in a pod without a PID namespace',
      containerInput({}, { sandbox: plainSandbox({}, { namespaces: {} }) }),
      'failed-precondition',
      /pid/,
    ],
    [
      'a mount on a relative path',
      withMount({ containerPath: 'a' }),
      'invalid-argument',
      /absolute/,
    ],
    ['a mount on the root', withMount({ containerPath: '/a/..' }), 'invalid-argument', /root/],
    [
      'propagation both ways from a slave',
      withMount({ propagation: PROPAGATION_BIDIRECTIONAL }, pinned),
      'failed-precondition',
      /\/m.*"\/src".*not a shared mount/,
    ],
    [
      'propagation from a private mount',
      withMount({ propagation: PROPAGATION_HOST_TO_CONTAINER }),
      'failed-precondition',
      /not a shared or slave mount/,
    ],
    [
      'an unknown propagation',
      withMount({ propagation: 9 as MountPropagation }),
      'invalid-argument',
      /propagation/,
    ],
    [
      'recursive read-only that may be written',
      withMount({ recursiveReadOnly: true }),
      'invalid-argument',
      /needs readonly/,
    ],
    [
      'recursive read-only that lets mounts in',
      withMount(
        { recursiveReadOnly: true, readonly: true, propagation: PROPAGATION_HOST_TO_CONTAINER },
        pinned,
      ),
      'invalid-argument',
      /private propagation/,
    ],
    [
      'recursive read-only that the runtime can not do',
      withMount({ recursiveReadOnly: true, readonly: true }, undefined, {
        host: { ...plainHost, recursiveReadOnly: false },
      }),
      'failed-precondition',
      /recursive read-only/,
    ],
    [
      'shifted owners that the runtime can not do',
      withMount({ uidMappings: mapping(), gidMappings: mapping() }),
      'failed-precondition',
      /idmapped/,
    ],
    ['shifted users alone', withMount({ uidMappings: mapping() }), 'invalid-argument', /groups/],
    [
      'a mount option that gives rights',
      withMount({ mountOptions: ['dev'] }),
      'invalid-argument',
      /"dev"/,
    ],
    [
      'device permissions that are none',
      containerInput(
        {},
        { devices: [{ device: { type: 'c', path: '/dev/x' }, permissions: 'rx' }] },
      ),
      'invalid-argument',
      /\/dev\/x.*"rx"/,
    ],
    [
      'user namespaces of two mappings',
      withUserns({ mode: POD, uids: [...mapping(), ...mapping()], gids: mapping() }),
      'invalid-argument',
      /uids: one mapping/,
    ],
    [
      'user namespaces without group mappings',
      withUserns({ mode: POD, uids: mapping(), gids: [] }),
      'invalid-argument',
      /gids: one mapping/,
    ],
    [
      'user namespaces without root',
      withUserns({ mode: POD, uids: mapping(1, 1), gids: mapping() }),
      'invalid-argument',
      /from 0/,
    ],
    [
      'user namespaces of no ids',
      withUserns({ mode: POD, uids: mapping(0), gids: mapping() }),
      'invalid-argument',
      /from 0/,
    ],
    ['a user namespace of its own', withUserns({ mode: CONTAINER }), 'invalid-argument', /modes/],
    [
      'mappings in the host’s user namespace',
      withUserns({ mode: NODE, uids: mapping() }),
      'invalid-argument',
      /NODE/,
    ],
    [
      'mappings other than the pod’s',
      withUserns(
        { mode: POD, uids: mapping(), gids: mapping() },
        { mode: POD, uids: mapping(9), gids: mapping() },
      ),
      'invalid-argument',
      /pod's/,
    ],
    [
      'a cgroup parent that leads upwards',
      containerInput({}, { sandbox: plainSandbox({}, { cgroupParent: '/a/../..' }) }),
      'invalid-argument',
      /cgroup_parent/,
    ],
    [
      'a plain cgroup parent under systemd',
      containerInput(
        {},
        { sandbox: plainSandbox({}, { cgroupParent: '/kubepods/pod1', systemdCgroup: true }) },
      ),
      'invalid-argument',
      /no slice/,
    ],
  ];
for (const [what, input, kind, message] of refused) {
  test(`${what} is refused`, () => {
    assert.throws(() => containerSpec(input), { kind, message });
  });
}

test('a pause image without a command is refused', () => {
  const input = pauseInput();
  assert.throws(() => pauseSpec({ ...input, image: { ...input.image, entrypoint: [] } }), {
    kind: 'invalid-argument',
    message: 'no command specified',
  });
});
