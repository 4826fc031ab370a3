import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { SecurityProfile_ProfileType as ProfileType, SecurityProfileSchema } from '@gantry/proto';
import { type AppArmorFields, apparmorProfileOf } from './apparmor.ts';

type Init = Partial<AppArmorFields>;
const on = { defaultProfile: 'gantry-default', profiles: ['gantry-default', 'mine'] };
const profileOf = (init: Init, host: typeof on | undefined) =>
  apparmorProfileOf({ privileged: false, ...init }, host);
const structured = (profileType: ProfileType, localhostRef = ''): Init => ({
  apparmor: create(SecurityProfileSchema, { profileType, localhostRef }),
});

const titleOf = ({ apparmor, ...init }: Init): string =>
  JSON.stringify({ ...init, type: apparmor?.profileType, ref: apparmor?.localhostRef });

const cases: readonly [init: Init, expected: string | undefined][] = [
  [{}, 'gantry-default'],
  [{ privileged: true }, undefined],
  [structured(ProfileType.RuntimeDefault), 'gantry-default'],
  [{ ...structured(ProfileType.RuntimeDefault), privileged: true }, undefined],
  [structured(ProfileType.Unconfined), undefined],
  [structured(ProfileType.Localhost, 'mine'), 'mine'],
  [structured(ProfileType.Localhost, 'localhost/mine'), 'mine'],
  [{ ...structured(ProfileType.Localhost, 'mine'), privileged: true }, 'mine'],
  [{ apparmorProfile: 'runtime/default' }, 'gantry-default'],
  [{ apparmorProfile: 'unconfined' }, undefined],
  [{ apparmorProfile: 'localhost/mine' }, 'mine'],
  [{ ...structured(ProfileType.Unconfined), apparmorProfile: 'localhost/mine' }, undefined],
];
for (const [init, expected] of cases) {
  test(`apparmor ${titleOf(init)} is ${expected ?? 'none'}`, () => {
    assert.equal(profileOf(init, on), expected);
  });
}

for (const init of [{}, structured(ProfileType.Unconfined), { apparmorProfile: 'unconfined' }]) {
  test(`without AppArmor ${titleOf(init)} is none`, () => {
    assert.equal(profileOf(init, undefined), undefined);
  });
}

for (const init of [
  structured(ProfileType.RuntimeDefault),
  structured(ProfileType.Localhost, 'mine'),
  { apparmorProfile: 'runtime/default' },
]) {
  test(`without AppArmor ${titleOf(init)} is refused`, () => {
    assert.throws(() => profileOf(init, undefined), {
      kind: 'failed-precondition',
      message: 'apparmor: not supported on this host',
    });
  });
}

test('a default profile that is not loaded is not given, unless it is asked for', () => {
  const bare = { ...on, profiles: [] };
  assert.equal(profileOf({}, bare), undefined);
  assert.throws(() => profileOf(structured(ProfileType.RuntimeDefault), bare), {
    kind: 'failed-precondition',
    message: /"gantry-default" is not loaded/,
  });
});

test('a profile that is not loaded is refused by name', () => {
  assert.throws(() => profileOf(structured(ProfileType.Localhost, 'other'), on), {
    kind: 'failed-precondition',
    message: /"other" is not loaded/,
  });
});

for (const init of [
  structured(ProfileType.Localhost, 'localhost/'),
  structured(7 as ProfileType),
  { apparmorProfile: 'mine' },
]) {
  test(`apparmor ${titleOf(init)} is refused`, () => {
    assert.throws(() => profileOf(init, on), { kind: 'invalid-argument' });
  });
}
