// oxlint-disable typescript/no-deprecated -- kubelets still send apparmor_profile
/*
 * Runs in the virtual machine, booted with AppArmor: which profile containers run
 * under, that the kernel holds them to it, and what happens where there is none.
 */
import assert from 'node:assert/strict';
import { access, readFile, rename, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { kindOf, messageOf } from '@gantry/errors';
import { mountInfo, run } from '@gantry/host';
import { SecurityProfile_ProfileType as ProfileType } from '@gantry/proto';
import {
  closeAndShowLog,
  createContainer,
  doctorSays,
  execIn,
  labelOf,
  must,
  removePod,
  restartGantry,
  runPod,
  runtime,
  shellContainer,
  startContainer,
  startGantry,
} from './guest.ts';

type Security = NonNullable<NonNullable<Parameters<typeof shellContainer>[2]>['security']>;

const parser = '/sbin/apparmor_parser';
const byDefault = 'gantry-default (enforce)';
const sleeps = 'exec sleep 1000';

const loadedProfiles = () => readFile('/sys/kernel/security/apparmor/profiles', 'utf8');
const localhost = (localhostRef: string): Security => ({
  apparmor: { profileType: ProfileType.Localhost, localhostRef },
});
const runtimeDefault: Security = {
  apparmor: { profileType: ProfileType.RuntimeDefault, localhostRef: '' },
};
const unconfined: Security = {
  apparmor: { profileType: ProfileType.Unconfined, localhostRef: '' },
};

before(async () => {
  await startGantry();
  await writeFile(
    '/root/profiles',
    'profile vm-no-tmp flags=(attach_disconnected) {\n  file,\n  signal,\n  deny /tmp/** w,\n}\n',
  );
  await must(parser, '-r', '/root/profiles');
});
after(closeAndShowLog);

test('the service has loaded its profile, and doctor tells so', async () => {
  const enabled = await readFile('/sys/module/apparmor/parameters/enabled', 'utf8');
  assert.equal(enabled.trim(), 'Y');
  assert.ok((await loadedProfiles()).includes(`${byDefault}\n`));
  const { verdict, found } = await doctorSays('AppArmor');
  assert.equal(`${verdict}: ${found}`, 'ok: on, profile gantry-default is loaded');
});

const cases: readonly (readonly [what: string, security: Security, profile: string])[] = [
  ['that says nothing', {}, byDefault],
  ['with RuntimeDefault', runtimeDefault, byDefault],
  ['with runtime/default, the older way', { apparmorProfile: 'runtime/default' }, byDefault],
  ['with Unconfined', unconfined, 'unconfined'],
  ['with unconfined, the older way', { apparmorProfile: 'unconfined' }, 'unconfined'],
  ['with Localhost', localhost('vm-no-tmp'), 'vm-no-tmp (enforce)'],
  [
    'with localhost/, the older way',
    { apparmorProfile: 'localhost/vm-no-tmp' },
    'vm-no-tmp (enforce)',
  ],
  [
    'with both ways, of which the newer counts,',
    { ...unconfined, apparmorProfile: 'localhost/vm-no-tmp' },
    'unconfined',
  ],
];

test('containers and their execs run under the profile that is asked for', async (t) => {
  const pod = await runPod('asked');
  for (const [index, [what, security, profile]] of cases.entries()) {
    await t.test(`a container ${what}`, async () => {
      const config = shellContainer(`c${index}`, sleeps, { security });
      const container = await startContainer(pod, config);
      assert.equal(await labelOf(container.pid), profile);
      const { text } = await execIn(container, 'cat', '/proc/self/attr/current');
      assert.equal(text.trim(), profile);
    });
  }
  await removePod(pod);
});

test('a privileged container runs under no profile but one of its own', async () => {
  const pod = await runPod('privileged', { security: { privileged: true } });
  const privileged = { privileged: true };
  for (const [name, more, profile] of [
    ['nil', {}, 'unconfined'],
    ['default', runtimeDefault, 'unconfined'],
    ['named', localhost('vm-no-tmp'), 'vm-no-tmp (enforce)'],
  ] as const) {
    const security = { ...privileged, ...more } as Security;
    const { pid } = await startContainer(pod, shellContainer(name, sleeps, { security }));
    assert.equal(await labelOf(pid), profile, name);
  }
  await removePod(pod);
});

test('the kernel holds containers to their profile', async () => {
  const pod = await runPod('held');
  const capabilities = { addCapabilities: ['SYS_ADMIN'] };
  const mounts = ['mount', '-t', 'tmpfs', 'none', '/tmp'];
  const start = (name: string, security: Security) =>
    startContainer(pod, shellContainer(name, sleeps, { security }));
  const confined = await start('confined', { capabilities } as Security);
  assert.match((await execIn(confined, ...mounts)).text, /ermission denied/);
  // It is the profile and nothing else that forbids it.
  const free = await start('free', { capabilities, ...unconfined } as Security);
  assert.deepEqual(await execIn(free, ...mounts), { text: '', exitCode: 0 });

  const own = await start('own', localhost('vm-no-tmp'));
  assert.match((await execIn(own, 'touch', '/tmp/x')).text, /ermission denied/);
  assert.equal((await execIn(own, 'touch', '/x')).exitCode, 0);

  // Processes of one profile may signal each other, and the runtime all of them.
  const signalled = await execIn(confined, 'sh', '-c', 'sleep 100 & kill $! && wait $!; echo $?');
  assert.match(signalled.text, /^143$/m);
  await runtime().stopContainer({ containerId: confined.containerId, timeout: 0n });
  await removePod(pod);
});

test('a profile that is not loaded is refused, and leaves nothing', async () => {
  const pod = await runPod('missing');
  const mountsBefore = (await mountInfo()).length;
  const config = shellContainer('c', sleeps, { security: localhost('nobody-has-this') });
  await assert.rejects(createContainer(pod, config), (error) => {
    assert.equal(kindOf(error), 'failed-precondition');
    assert.match(messageOf(error), /apparmor: profile "nobody-has-this" is not loaded/);
    return true;
  });
  assert.equal((await mountInfo()).length, mountsBefore);
  const { podSandboxId } = pod;
  assert.deepEqual((await runtime().listContainers({ filter: { podSandboxId } })).containers, []);
  // The name is free again.
  const { pid } = await startContainer(pod, shellContainer('c', sleeps));
  assert.equal(await labelOf(pid), byDefault);
  await removePod(pod);
});

test('a profile that goes between create and start is told by StartContainer', async () => {
  await writeFile('/root/passing', 'profile vm-passing flags=(attach_disconnected) { file, }\n');
  await must(parser, '-r', '/root/passing');
  const pod = await runPod('passing');
  const config = shellContainer('c', sleeps, { security: localhost('vm-passing') });
  const containerId = await createContainer(pod, config);
  await must(parser, '-R', '/root/passing');
  await assert.rejects(runtime().startContainer({ containerId }), /apparmor|vm-passing/i);
  const { status } = await runtime().containerStatus({ containerId });
  assert.equal(status?.reason, 'StartError');
  assert.equal(status.exitCode, 128);
  await removePod(pod);
});

test('without apparmor_parser only those fail who ask for the default profile', async (t) => {
  await rename(parser, `${parser}.away`);
  t.after(async () => {
    await access(`${parser}.away`).then(
      () => rename(`${parser}.away`, parser),
      () => undefined,
    );
  });
  const remove = 'printf gantry-default > /sys/kernel/security/apparmor/.remove';
  await must('sh', '-c', remove);
  await restartGantry();
  const finding = await doctorSays('AppArmor');
  assert.equal(finding.verdict, 'warn');
  assert.match(finding.found, /gantry-default is not loaded/);
  assert.match(finding.fix ?? '', /Debian package apparmor/);

  const pod = await runPod('no-parser');
  const { pid } = await startContainer(pod, shellContainer('silent', sleeps));
  assert.equal(await labelOf(pid), 'unconfined');
  await assert.rejects(
    createContainer(pod, shellContainer('asks', sleeps, { security: runtimeDefault })),
    /apparmor: profile "gantry-default" is not loaded/,
  );
  const own = shellContainer('own', sleeps, { security: localhost('vm-no-tmp') });
  assert.equal(await labelOf((await startContainer(pod, own)).pid), 'vm-no-tmp (enforce)');
  await removePod(pod);

  await rename(`${parser}.away`, parser);
  await restartGantry();
  assert.ok((await loadedProfiles()).includes(byDefault));
  const { exitCode } = await run(parser, ['--version']);
  assert.equal(exitCode, 0);
});
