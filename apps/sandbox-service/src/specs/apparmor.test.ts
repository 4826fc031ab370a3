import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { appArmorFacts, loadDefaultProfile, profileText } from './apparmor.ts';

// What hosts show of AppArmor, as it was found on them.
const ubuntu = {
  'sys/module/apparmor/parameters/enabled': 'Y\n',
  'sys/kernel/security/apparmor/profiles': [
    'snap-update-ns.lxd (enforce)',
    '/usr/bin/man (enforce)',
    '/usr/lib/snapd/snap-confine//mount-namespace-capture-helper (enforce)',
    'docker-default (complain)',
    'with space (kill)',
    '',
  ].join('\n'),
  'etc/apparmor.d/abstractions/base': '',
  'etc/apparmor.d/tunables/global': '',
  'proc/self/attr/apparmor/current': 'unconfined\n',
};

async function recorded(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'gantry-host-'));
  t.after(() => rm(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

function parser(exitCode: number, words = '') {
  const calls: { readonly args: readonly string[]; readonly text: string }[] = [];
  const run = (_: string, args: readonly string[], text: string) => {
    calls.push({ args, text });
    return Promise.resolve({ exitCode, stderr: Buffer.from(words) });
  };
  return { calls, run, parser: '/sbin/apparmor_parser' };
}

test('profiles are known by their names alone, whatever their mode', async (t) => {
  const root = await recorded(t, ubuntu);
  const facts = await appArmorFacts({ root });
  assert.equal(facts?.defaultProfile, 'gantry-default');
  assert.deepEqual(facts.profiles.slice(2), [
    '/usr/lib/snapd/snap-confine//mount-namespace-capture-helper',
    'docker-default',
    'with space',
  ]);
});

test('a host without AppArmor, or with it switched off, has no facts and loads nothing', async (t) => {
  for (const files of [{}, { 'sys/module/apparmor/parameters/enabled': 'N\n' }]) {
    const root = await recorded(t, files);
    const { calls, ...loader } = parser(0);
    assert.equal(await appArmorFacts({ root }), undefined);
    assert.equal(await loadDefaultProfile({ root, ...loader }), undefined);
    assert.deepEqual(calls, []);
  }
});

test('the profile is given to the parser, in place of an older one', async (t) => {
  const root = await recorded(t, ubuntu);
  const { calls, ...loader } = parser(0);
  assert.equal(await loadDefaultProfile({ root, ...loader }), undefined);
  assert.deepEqual(calls[0]?.args, ['-K', '-r']);
  assert.match(calls[0].text, /^#include <tunables\/global>\n\nprofile gantry-default flags=/);
  assert.match(calls[0].text, /#include <abstractions\/base>/);
  assert.match(calls[0].text, /signal \(receive\) peer=unconfined,/);
});

test('without the abstractions of the distribution it stands on its own', async (t) => {
  const root = await recorded(t, {
    'sys/module/apparmor/parameters/enabled': 'Y',
    'proc/self/attr/apparmor/current': '/usr/bin/my daemon (enforce)\n',
  });
  const { calls, ...loader } = parser(0);
  await loadDefaultProfile({ root, ...loader });
  assert.match(calls[0]?.text ?? '', /^@\{PROC\}=\/proc\/\n/);
  assert.doesNotMatch(calls[0]?.text ?? '', /#include/);
  assert.match(calls[0]?.text ?? '', /peer="\/usr\/bin\/my daemon",/);
});

test('why it can not be loaded is told, and no container without a wish suffers', async (t) => {
  const root = await recorded(t, ubuntu);
  const refusing = parser(1, 'syntax error\n');
  assert.equal(await loadDefaultProfile({ root, ...refusing }), 'apparmor_parser: syntax error');
  const missing = { ...refusing, parser: undefined };
  assert.match(
    (await loadDefaultProfile({ root, ...missing })) ?? '',
    /apparmor_parser is missing/,
  );
  const loaded = await recorded(t, {
    ...ubuntu,
    'sys/kernel/security/apparmor/profiles': 'gantry-default (enforce)\n',
  });
  assert.equal(await loadDefaultProfile({ root: loaded, ...missing }), undefined);
});

test('apparmor_parser understands the profile', {
  skip: spawnSync('apparmor_parser', ['--version']).error !== undefined && 'not installed',
}, () => {
  const input = profileText({ base: false, tunables: false, daemon: 'unconfined' });
  const { status, stderr } = spawnSync('apparmor_parser', ['-Q', '-K'], { input });
  assert.equal(status, 0, stderr.toString());
});
