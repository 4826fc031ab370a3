/*
 * Runs in the virtual machine, booted with SELinux and the reference policy, with
 * its module for containers: the labels of processes, mounts and volumes.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { NamespaceMode } from '@gantry/proto';
import {
  closeAndShowLog,
  createContainer,
  doctorSays,
  execIn,
  labelOf,
  must,
  type Pod,
  removePod,
  restartGantry,
  runPod,
  shellContainer,
  startContainer,
  startGantry,
} from './guest.ts';

type More = NonNullable<Parameters<typeof shellContainer>[2]>;

const sleeps = 'exec sleep 1000';
const processLabel = /^system_u:system_r:container_t:(s0:c\d+,c\d+)$/;
const fileLabel = 'system_u:object_r:container_file_t';
const nothing = { user: '', role: '', type: '', level: '' };

before(startGantry);
after(closeAndShowLog);

const fileLabelOf = async (path: string) => (await must('stat', '-c', '%C', path)).trim();

/** The labels that a mount in the namespace of a process gives to all in it, by mount point. */
async function mountLabels(pid: number): Promise<ReadonlyMap<string, string>> {
  const lines = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).trim().split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, label] = /[ ,]context="?([^",]+(?:,c\d+)?)"?/.exec(line) ?? [];
      return label === undefined ? [] : [[line.split(' ')[4] ?? '', label] as const];
    }),
  );
}

async function start(pod: Pod, name: string, more: More = {}) {
  const container = await startContainer(pod, shellContainer(name, sleeps, more));
  return { ...container, label: await labelOf(container.pid) };
}

function levelOf(label: string): string {
  assert.match(label, processLabel);
  return processLabel.exec(label)?.[1] ?? '';
}

test('doctor tells the mode and the label of containers', async () => {
  const { verdict, found } = await doctorSays('SELinux');
  assert.equal(verdict, 'ok', found);
  assert.match(found, /^(permissive|enforcing), containers are system_u:system_r:container_t:s0$/);
});

test('a pod has a level of its own, on its processes, its mounts and its volumes', async () => {
  for (const dir of ['ours', 'others']) {
    await mkdir(`/srv/vm/${dir}/deep`, { recursive: true });
    await writeFile(`/srv/vm/${dir}/deep/file`, dir);
  }
  const before = await fileLabelOf('/srv/vm/others/deep/file');
  const pod = await runPod('one');
  const mounts = [
    { hostPath: '/srv/vm/ours', containerPath: '/ours', selinuxRelabel: true },
    { hostPath: '/srv/vm/others', containerPath: '/others' },
  ];
  const one = await start(pod, 'one', { mounts });
  const level = levelOf(one.label);
  assert.equal((await start(pod, 'two')).label, one.label, 'shared by the containers of a pod');
  const { text } = await execIn(one, 'cat', '/proc/self/attr/current');
  assert.equal(text.replace('\0', ''), one.label, 'and by what is started in them');

  const labels = await mountLabels(one.pid);
  assert.equal(labels.get('/'), `${fileLabel}:${level}`);
  assert.equal(labels.get('/dev/shm'), `${fileLabel}:${level}`);
  assert.equal(await fileLabelOf('/srv/vm/ours'), `${fileLabel}:${level}`);
  assert.equal(await fileLabelOf('/srv/vm/ours/deep/file'), `${fileLabel}:${level}`);
  assert.equal(await fileLabelOf('/srv/vm/others/deep/file'), before);
  assert.notEqual(before.split(':')[2], 'container_file_t');

  const another = await runPod('another');
  assert.notEqual(levelOf((await start(another, 'c')).label), level);
  await removePod(another);
  await removePod(pod);
});

test('labels are those that the pod asks for, or its container', async () => {
  const selinuxOptions = { ...nothing, level: 's0:c100,c200' };
  const pod = await runPod('asked', { security: { selinuxOptions } });
  const plain = await start(pod, 'plain');
  assert.equal(plain.label, 'system_u:system_r:container_t:s0:c100,c200');
  // Not container_engine_t: what that executes in a container becomes spc_t by the policy.
  const own = { user: 'system_u', role: 'system_r', type: 'spc_t', level: 's0:c4,c5' };
  const asked = await start(pod, 'own', { security: { selinuxOptions: own } });
  assert.equal(asked.label, 'system_u:system_r:spc_t:s0:c4,c5');
  assert.equal((await mountLabels(asked.pid)).get('/'), `${fileLabel}:s0:c4,c5`);
  await removePod(pod);
});

test('a label that the policy does not know is refused, and leaves nothing', async () => {
  const pod = await runPod('unknown');
  for (const options of [{ type: 'no_such_t' }, { level: 's5:c1' }, { role: 'no_such_r' }]) {
    const security = { selinuxOptions: { ...nothing, ...options } };
    const config = shellContainer('c', sleeps, { security });
    await assert.rejects(createContainer(pod, config), /selinux_options: .*policy/);
  }
  assert.match((await start(pod, 'c')).label, processLabel);
  await removePod(pod);
});

test('a privileged container is spc_t, its files are of the pod', async () => {
  const pod = await runPod('privileged', { security: { privileged: true } });
  const { pid, label } = await start(pod, 'c', { security: { privileged: true } });
  assert.match(label, /^system_u:system_r:spc_t:s0$/);
  assert.match((await mountLabels(pid)).get('/') ?? '', /:container_file_t:s0:c\d+,c\d+$/);
  await removePod(pod);
});

test('a pod on the namespaces of the host has labels like any other', async () => {
  const node = NamespaceMode.NODE;
  const namespaceOptions = { network: node, pid: node, ipc: node };
  const pod = await runPod('host', { security: { namespaceOptions } });
  const { pid, label } = await start(pod, 'c', { security: { namespaceOptions } });
  levelOf(label);
  // The host's own memory keeps the host's label.
  assert.equal((await mountLabels(pid)).get('/dev/shm'), undefined);
  await removePod(pod);
});

// Starts take long: each of these leaves the next, and the last all, as it should be.
test('pods.selinux = false gives no labels', async () => {
  await restartGantry('[pods]\nselinux = false\n');
  const pod = await runPod('off');
  const { pid, label } = await start(pod, 'c', {
    security: { selinuxOptions: { ...nothing, level: 's0:c1,c2' } },
  });
  assert.doesNotMatch(label, /:container_t:|:c\d/);
  assert.equal((await mountLabels(pid)).get('/'), undefined);
  await removePod(pod);
});

test('a policy that does not know what its files name counts as one without containers', async (t) => {
  const file = '/etc/selinux/default/contexts/lxc_contexts';
  const text = await readFile(file, 'utf8');
  t.after(async () => {
    await writeFile(file, text);
    await restartGantry();
  });
  await writeFile(file, text.replaceAll('container_t', 'nowhere_t'));
  await restartGantry();
  const pod = await runPod('none');
  assert.doesNotMatch((await start(pod, 'c')).label, /:container_t:|:c\d/);
  const security = { selinuxOptions: { ...nothing, level: 's0:c1,c2' } };
  await assert.rejects(
    createContainer(pod, shellContainer('asks', sleeps, { security })),
    /SELinux is on, but the host has no policy for containers/,
  );
  const { verdict, found } = await doctorSays('SELinux');
  assert.equal(verdict, 'warn');
  assert.match(found, /does not know system_u:system_r:nowhere_t:s0/);
  await removePod(pod);
});
