import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { completeConfig } from '@gantry/config';
import { testDir } from '../testing-dir.ts';
import { checkAppArmor, checkSelinux } from './check-lsm.ts';
import type { Finding } from './finding.ts';
import { hostFiles } from './host-files.ts';

function hostWith(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = testDir(t);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const textOf = ({ verdict, found }: Finding): string => `${verdict}: ${found}`;

const enabled = { '/sys/module/apparmor/parameters/enabled': 'Y\n' };
const profiles = (text: string) => ({
  ...enabled,
  '/sys/kernel/security/apparmor/profiles': text,
});

for (const [what, files, found] of [
  ['off', {}, 'ok: off: containers that ask for a profile are refused'],
  [
    'on with the default profile',
    profiles('man (enforce)\ngantry-default (enforce)\n'),
    'ok: on, profile gantry-default is loaded',
  ],
  [
    'on without it',
    profiles('gantry-default-2 (enforce)\n'),
    'warn: on, profile gantry-default is not loaded',
  ],
  ['not to be read', enabled, 'warn: on, its profiles can not be read'],
] as const) {
  test(`AppArmor is ${what}`, (t) => {
    assert.equal(textOf(checkAppArmor(hostFiles(hostWith(t, files)), '/sbin/parser')), found);
  });
}

test('a host with AppArmor and no apparmor_parser is told which package has it', (t) => {
  const files = hostFiles(hostWith(t, profiles('')));
  const missing = checkAppArmor(files, undefined);
  assert.match(textOf(missing), /^warn: .*containers that ask for the default are refused/);
  assert.match(missing.fix ?? '', /Debian package apparmor$/);
  assert.match(checkAppArmor(files, '/sbin/parser').fix ?? '', /its log says/);
});

const contexts =
  'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:container_file_t:s0"\n';
const policy = {
  '/sys/fs/selinux/enforce': '1',
  '/etc/selinux/config': 'SELINUXTYPE=default\n',
  '/etc/selinux/default/contexts/lxc_contexts': contexts,
};
const known = () => Promise.resolve(true);

test('SELinux is off without its file system', async (t) => {
  const root = hostWith(t, { '/etc/selinux/config': 'SELINUX=enforcing\n' });
  assert.equal(textOf(await checkSelinux(completeConfig({}), { root })), 'ok: off');
});

test('SELinux with a policy for containers tells what they are', async (t) => {
  const root = hostWith(t, policy);
  const config = completeConfig({});
  assert.equal(
    textOf(await checkSelinux(config, { root, isKnown: known })),
    'ok: enforcing, containers are system_u:system_r:container_t:s0',
  );
  const off = completeConfig({ pods: { selinux: false } });
  assert.match(textOf(await checkSelinux(off, { root, isKnown: known })), /^ok: .*no labels/);
});

test('SELinux is warned of where its policy names no labels, or such as it does not know', async (t) => {
  const config = completeConfig({});
  const root = hostWith(t, policy);
  const isKnown = (label: string) => Promise.resolve(!label.includes('container_file_t'));
  assert.match(
    textOf(await checkSelinux(config, { root, isKnown })),
    /^warn: enforcing, but its policy does not know system_u:object_r:container_file_t:s0 of /,
  );
  const bare = hostWith(t, { '/sys/fs/selinux/enforce': '0' });
  assert.match(
    textOf(await checkSelinux(config, { root: bare, isKnown: known })),
    /^warn: permissive, but its policy names no labels/,
  );
  // Nobody but root may ask the kernel.
  const denied = () => Promise.reject(new Error('permission denied'));
  assert.match(textOf(await checkSelinux(config, { root, isKnown: denied })), /^warn: .*not asked/);
});
