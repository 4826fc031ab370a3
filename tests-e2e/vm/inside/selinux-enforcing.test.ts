/*
 * Runs in the virtual machine, booted with SELinux: what containers can and can't do where it is enforced. Gantry is
 * in the reference policy's domain for container engines, which the module of selinux-policy.ts makes permissive.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { run } from '@gantry/host';
import {
  closeAndShowLog,
  execIn,
  labelOf,
  must,
  type Pod,
  type Running,
  removePod,
  runPod,
  runtime,
  shellContainer,
  startContainer,
  startGantry,
  until,
} from './guest.ts';

const dropIn = '/etc/systemd/system/gantry.service.d';
const sleeps = 'exec sleep 1000';
const mount = (name: string) => ({ hostPath: `/srv/vm/${name}`, containerPath: `/${name}` });

let pod: Pod;
let container: Running;

before(async () => {
  await mkdir(dropIn, { recursive: true });
  // Without categories: a container may write to no pipe of conmon that has more of them than itself.
  await writeFile(
    `${dropIn}/selinux.conf`,
    '[Service]\nSELinuxContext=system_u:system_r:container_engine_t:s0\n',
  );
  // Programs are mapped from the layers themselves, whatever the label of the overlay is.
  await mkdir('/var/lib/gantry/images', { recursive: true });
  await must('chcon', '-R', '-t', 'container_ro_file_t', '/var/lib/gantry');
  for (const name of ['ours', 'others']) {
    await mkdir(`/srv/vm/${name}`, { recursive: true });
    await writeFile(`/srv/vm/${name}/file`, name);
  }
  await startGantry();
  await must('setenforce', '1');
  const mounts = [{ ...mount('ours'), selinuxRelabel: true }, mount('others')];
  pod = await runPod('enforced');
  container = await startContainer(
    pod,
    shellContainer('one', `echo hello; echo oops >&2; ${sleeps}`, { mounts }),
  );
});

after(async () => {
  await run('setenforce', ['0']);
  const { stdout } = await run('sh', ['-c', 'dmesg | grep "avc: *denied.*permissive=0"']);
  process.stdout.write(stdout);
  await closeAndShowLog();
});

test('a pod runs where SELinux is enforced, and its log has its words', async () => {
  assert.equal((await must('getenforce')).trim(), 'Enforcing');
  assert.match(await labelOf(container.pid), /^system_u:system_r:container_t:s0:c\d+,c\d+$/);
  await until(
    'the log of the container',
    () => readFile('/var/log/pods/enforced/one.log', 'utf8').catch(String),
    (log) => log.includes('stdout F hello') && log.includes('stderr F oops'),
  );
});

test('it can use its root, its memory and a volume that was relabelled', async () => {
  const script = 'echo x > /x && echo y > /dev/shm/y && cat /x /dev/shm/y /ours/file > /ours/new';
  const { text, exitCode } = await execIn(container, 'sh', '-c', script);
  assert.equal(exitCode, 0, text);
  assert.equal(await readFile('/srv/vm/ours/new', 'utf8'), 'x\ny\nours');
});

/** What a shell line prints that has to do with `gantry exec`, from a terminal of its own where it is told so. */
const gantryExec = (words: string, line = '$exec') =>
  must('sh', '-c', `exec="/opt/gantry/gantry exec ${words}"; ${line}`);

test('a command in it reads what it is sent, writes what it says, and has a terminal when asked for', async () => {
  const { containerId } = container;
  assert.equal(await gantryExec(`-i ${containerId} cat`, 'echo words | $exec'), 'words\n');
  assert.equal(await gantryExec(`${containerId} cat /ours/file`), 'ours');
  const typed = 'test -t 0 && test -t 1 && read word && echo got $word';
  await writeFile('/root/typed', `/opt/gantry/gantry exec -it ${containerId} sh -c '${typed}'\n`);
  const shown = await must('sh', '-c', 'echo word | script -qec "sh /root/typed" /dev/null');
  assert.match(shown, /got word/);
});

test('a container with a terminal runs, and its words are in its log', async () => {
  const config = shellContainer('tty', `test -t 1 && echo on a terminal; ${sleeps}`);
  const { containerId } = await startContainer(pod, { ...config, tty: true, stdin: true });
  await until(
    'the log of the container',
    () => readFile('/var/log/pods/enforced/tty.log', 'utf8').catch(String),
    (log) => log.includes('on a terminal'),
  );
  await runtime().removeContainer({ containerId });
});

test('it can neither read nor write a volume that was not relabelled', async () => {
  for (const script of ['cat /others/file', 'echo x > /others/x']) {
    const { text, exitCode } = await execIn(container, 'sh', '-c', script);
    assert.notEqual(exitCode, 0, script);
    assert.match(text, /Permission denied/);
  }
});

test('another pod can not read it, a privileged container can', async () => {
  const other = await runPod('other');
  const mounts = [mount('ours')];
  const reader = await startContainer(other, shellContainer('c', sleeps, { mounts }));
  const { text, exitCode } = await execIn(reader, 'cat', '/ours/file');
  assert.notEqual(exitCode, 0);
  assert.match(text, /Permission denied/);
  await removePod(other);

  const security = { privileged: true };
  const trusted = await runPod('trusted', { security });
  const free = await startContainer(trusted, shellContainer('c', sleeps, { security, mounts }));
  assert.match(await labelOf(free.pid), /:spc_t:/);
  assert.deepEqual(await execIn(free, 'cat', '/ours/file'), { text: 'ours', exitCode: 0 });
  await removePod(trusted);
  await removePod(pod);
});
