import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  LinuxSandboxSecurityContextSchema,
  SecurityProfile_ProfileType as ProfileType,
  type SupplementalGroupsPolicy,
} from '@gantry/proto';
import { pauseSpec, podSecurityOf } from './index.ts';
import { pauseInput, plainHost, plainImage, plainSandbox } from './testing.ts';

type Init = MessageInitShape<typeof LinuxSandboxSecurityContextSchema>;
const { Localhost, RuntimeDefault, Unconfined } = ProfileType;
const label = { user: '', role: '', type: '', level: '' };
const armed = { defaultProfile: 'gantry-default', profiles: ['gantry-default', 'mine'] };

/** Each on this host, but for what it says of it. */
const refused: readonly (readonly [Init, string, RegExp, Partial<typeof plainHost>?])[] = [
  [{ runAsUser: { value: -1n } }, 'invalid-argument', /^user: id -1 /],
  [{ runAsUser: { value: 2n ** 31n } }, 'invalid-argument', /^user: id 2147483648 /],
  [{ runAsGroup: { value: 5n } }, 'invalid-argument', /^run_as_group/],
  [
    { runAsUser: { value: 1n }, runAsGroup: { value: 2n ** 32n } },
    'invalid-argument',
    /^group: id 4294967296 /,
  ],
  [{ supplementalGroups: [-1n] }, 'invalid-argument', /^supplemental_groups: id -1 /],
  [
    { supplementalGroupsPolicy: 42 as SupplementalGroupsPolicy },
    'invalid-argument',
    /^supplemental_groups_policy/,
  ],
  [
    { apparmor: { profileType: Localhost, localhostRef: 'mine' } },
    'failed-precondition',
    /^apparmor: not supported/,
  ],
  [
    { apparmor: { profileType: Localhost, localhostRef: 'other' } },
    'failed-precondition',
    /^apparmor: profile "other" is not loaded/,
    { appArmor: armed },
  ],
  [{ apparmor: { profileType: 42 as ProfileType } }, 'invalid-argument', /^apparmor/],
  [{ seccomp: { profileType: 42 as ProfileType } }, 'invalid-argument', /^seccomp/],
  [
    { seccomp: { profileType: Localhost, localhostRef: 'a.json' } },
    'invalid-argument',
    /^seccomp: localhost profile "a.json"/,
  ],
  [
    { seccomp: { profileType: RuntimeDefault } },
    'failed-precondition',
    /^seccomp: not supported/,
    { seccomp: false },
  ],
  [{ selinuxOptions: { ...label, level: 's0:zz' } }, 'invalid-argument', /^selinux_options/],
  [
    { selinuxOptions: { ...label, level: 's0:c1,c2' } },
    'failed-precondition',
    /^selinux_options: .*no policy/,
    { selinux: true },
  ],
];

for (const [init, kind, message, changes = {}] of refused) {
  test(`a pod is refused alike with a pause container and without: ${String(message)}`, () => {
    const host = { ...plainHost, ...changes };
    const security = create(LinuxSandboxSecurityContextSchema, init);
    const sandbox = plainSandbox({ linux: { securityContext: init } });
    const image = { ...plainImage, user: '' };
    for (const read of [
      () => podSecurityOf(security, { host }),
      () => pauseSpec(pauseInput({ host, sandbox, image })),
    ]) {
      assert.throws(read, (error: Error & { kind?: string }) => {
        assert.match(error.message, message);
        assert.equal(error.kind, kind);
        return true;
      });
    }
  });
}

test('what makes sense and is to be had is not refused', () => {
  const host = { ...plainHost, appArmor: armed };
  for (const init of [
    {},
    { privileged: true, seccomp: { profileType: 42 as ProfileType } },
    { runAsUser: { value: 1000n }, runAsGroup: { value: 7n }, supplementalGroups: [0n, 9n] },
    { apparmor: { profileType: Localhost, localhostRef: 'mine' } },
    { seccomp: { profileType: Unconfined }, selinuxOptions: { ...label, level: 's0:c1,c2' } },
    { seccomp: { profileType: RuntimeDefault } },
  ] satisfies Init[]) {
    podSecurityOf(create(LinuxSandboxSecurityContextSchema, init), { host });
  }
});
