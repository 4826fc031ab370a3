import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import {
  createUserNamespace,
  findTool,
  mountInfo,
  type NamespaceWorker,
  run,
  startNamespaceWorker,
  unmount,
} from './index.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root to make namespaces';

function start(t: TestContext): { worker: NamespaceWorker; dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-netns-'));
  const worker = startNamespaceWorker();
  t.after(async () => {
    await worker[Symbol.asyncDispose]();
    for (const { mountPoint } of await mountInfo()) {
      if (mountPoint.startsWith(dir)) {
        await unmount(mountPoint, { detach: true });
      }
    }
    rmSync(dir, { recursive: true, force: true });
  });
  return { worker, dir };
}

async function inNetns(path: string, command: string): Promise<string> {
  const result = await run('nsenter', [`--net=${path}`, 'sh', '-c', command]);
  assert.equal(result.exitCode, 0, result.stderr.toString());
  return result.stdout.toString();
}

function namespacesOfThreads(kind = 'net'): Set<string> {
  const namespaces = readdirSync('/proc/self/task').flatMap((task) => {
    try {
      return [readlinkSync(`/proc/self/task/${task}/ns/${kind}`)];
    } catch {
      return []; // A thread that ends has none any more.
    }
  });
  return new Set(namespaces);
}

test('a network namespace is pinned, apart from ours, with lo up', { skip }, async (t) => {
  const { worker, dir } = start(t);
  const path = join(dir, 'sub', 'pod');
  await worker.createNetns(path);
  const ours = readlinkSync('/proc/self/ns/net');
  assert.notEqual(`net:[${String(statSync(path).ino)}]`, ours);
  assert.match(await inNetns(path, 'ip -o link show lo'), /<LOOPBACK,UP/);
  assert.match(await inNetns(path, 'ip -o link'), /^1: lo:[^\n]*\n$/);
  await worker.removeNetns(path);
  assert.equal(existsSync(path), false);
  assert.equal(
    (await mountInfo()).some((m) => m.mountPoint === path),
    false,
  );
  await worker.removeNetns(path);
});

test('its sysctls are set in it and not on the host', { skip }, async (t) => {
  const { worker, dir } = start(t);
  const path = join(dir, 'pod');
  const file = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
  const before = await readFile(file, 'utf8');
  await worker.createNetns(path, {
    sysctls: { 'net.ipv4.ip_unprivileged_port_start': '77', 'net/ipv4/conf/lo/log_martians': '1' },
  });
  assert.equal((await inNetns(path, `cat ${file}`)).trim(), '77');
  assert.equal((await inNetns(path, 'cat /proc/sys/net/ipv4/conf/lo/log_martians')).trim(), '1');
  assert.equal(await readFile(file, 'utf8'), before);
});

test('a failure names the sysctl and leaves nothing', { skip }, async (t) => {
  const { worker, dir } = start(t);
  const path = join(dir, 'pod');
  for (const [name, value] of [
    ['net.ipv4.no_such_thing', '1'],
    ['net.ipv4.ip_forward', 'nonsense'],
    ['kernel.hostname', 'x'],
    ['net/../kernel/hostname', 'x'],
    ['net', 'x'],
  ] as const) {
    await assert.rejects(
      worker.createNetns(path, { sysctls: { [name]: value } }),
      (e) => isKind(e, 'invalid-argument') && messageOf(e).includes(name),
    );
    assert.equal(existsSync(path), false, name);
  }
  assert.equal(
    (await mountInfo()).some((m) => m.mountPoint.startsWith(dir)),
    false,
  );
  await worker.createNetns(path);
});

test('what the kernel refuses is told with its file', { skip }, async (t) => {
  const { worker, dir } = start(t);
  for (const [name, value] of [
    ['net.ipv4.ip_forward', 'nonsense'],
    ['net.ipv4.no_such_thing', '1'],
  ] as const) {
    const refused = worker.createNetns(join(dir, 'pod'), { sysctls: { [name]: value } });
    const file = `/proc/sys/${name.replaceAll('.', '/')}`;
    await assert.rejects(refused, (e) => messageOf(e).includes(`${name}=${value} (${file})`));
  }
});

test('a path that exists is refused and left alone', { skip }, async (t) => {
  const { worker, dir } = start(t);
  const path = join(dir, 'pod');
  await worker.createNetns(path);
  const { ino } = statSync(path);
  await assert.rejects(worker.createNetns(path), (e) => isKind(e, 'already-exists'));
  assert.equal(statSync(path).ino, ino);
});

test('what is no namespace is not unmounted or removed', { skip }, async (t) => {
  const { worker, dir } = start(t);
  await assert.rejects(worker.removeNetns(dir), /remove namespace/);
  assert.equal(existsSync(dir), true);
});

test('network, ipc and uts are made together, with their sysctls and host name', {
  skip,
}, async (t) => {
  const { worker, dir } = start(t);
  const pins = { network: join(dir, 'net'), ipc: join(dir, 'ipc'), uts: join(dir, 'uts') };
  const sysfs = join(dir, 'sys');
  const names = ['net', 'ipc', 'uts'];
  const before = names.map((name) => readlinkSync(`/proc/self/ns/${name}`));
  const hostFile = '/proc/sys/kernel/shm_rmid_forced';
  const hostValue = await readFile(hostFile, 'utf8');
  await worker.create({
    ...pins,
    sysfs,
    hostname: 'pod-1',
    sysctls: {
      'kernel.shm_rmid_forced': '1',
      'fs.mqueue.msg_max': '13',
      'kernel.domainname': 'a.example',
      'net.ipv4.ip_forward': '1',
    },
  });
  const enter = [`--net=${pins.network}`, `--ipc=${pins.ipc}`, `--uts=${pins.uts}`];
  const look = `cat ${hostFile} /proc/sys/fs/mqueue/msg_max /proc/sys/kernel/domainname \
    /proc/sys/net/ipv4/ip_forward; hostname; ls ${sysfs}/class/net`;
  const { stdout, stderr } = await run('nsenter', [...enter, 'sh', '-c', look]);
  assert.equal(stdout.toString(), '1\n13\na.example\n1\npod-1\nlo\n', stderr.toString());
  assert.equal(await readFile(hostFile, 'utf8'), hostValue);
  assert.deepEqual(
    names.map((name) => readlinkSync(`/proc/self/ns/${name}`)),
    before,
  );
  assert.equal(namespacesOfThreads('ipc').size, 1);
  assert.equal(namespacesOfThreads('uts').size, 1);
  for (const path of [...Object.values(pins), sysfs, join(dir, 'none')]) {
    assert.equal(await worker.isPinned(path), Object.values(pins).includes(path), path);
  }
  await unmount(sysfs);
  for (const path of Object.values(pins)) {
    await worker.remove(path);
  }
  assert.deepEqual(readdirSync(dir), ['sys']);
});

test('namespaces that are pinned already take a host name and sysctls, and the thread comes back', {
  skip,
}, async (t) => {
  const { worker, dir } = start(t);
  const pins = { network: join(dir, 'net'), ipc: join(dir, 'ipc'), uts: join(dir, 'uts') };
  const ids = [{ containerId: 0, hostId: 100_000, length: 1000 }];
  await createUserNamespace({ user: join(dir, 'user'), ...pins }, { uids: ids, gids: ids });
  await worker.configure({
    ...pins,
    hostname: 'pod-2',
    sysctls: { 'kernel.shm_rmid_forced': '1', 'net.ipv4.ip_forward': '1' },
  });
  const enter = [`--net=${pins.network}`, `--ipc=${pins.ipc}`, `--uts=${pins.uts}`];
  const look = 'hostname; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward';
  const { stdout, stderr } = await run('nsenter', [...enter, 'sh', '-c', look]);
  assert.equal(stdout.toString(), 'pod-2\n1\n1\n', stderr.toString());
  for (const kind of ['net', 'ipc', 'uts']) {
    assert.equal(namespacesOfThreads(kind).size, 1);
  }
  await assert.rejects(worker.configure({ ...pins, sysctls: { 'vm.swappiness': '1' } }), (e) =>
    isKind(e, 'invalid-argument'),
  );
  await assert.rejects(worker.configure({ uts: join(dir, 'none'), hostname: 'x' }));
});

test('a refused request leaves none of its namespaces', { skip }, async (t) => {
  const { worker, dir } = start(t);
  const pins = { ipc: join(dir, 'a'), uts: join(dir, 'b') };
  for (const [name, value] of [
    ['net.ipv4.ip_forward', '1'],
    ['kernel.hostname', 'x'],
    ['kernel.pid_max', '1000'],
    ['kernel.shm_rmid_forced', 'nonsense'],
    ['fs.file-max', '9'],
    ['kernel.shmmax.x', '9'],
  ] as const) {
    await assert.rejects(
      worker.create({ ...pins, sysctls: { [name]: value } }),
      (e) => isKind(e, 'invalid-argument') && messageOf(e).includes(name),
      name,
    );
    assert.deepEqual(readdirSync(dir), [], name);
  }
  // The second pin can not be made: the first one goes too.
  writeFileSync(pins.uts, '');
  await assert.rejects(worker.create(pins), (e) => isKind(e, 'already-exists'));
  assert.deepEqual(readdirSync(dir), ['b']);
});

test('a file is read as the pinned network has it', { skip }, async (t) => {
  const { worker, dir } = start(t);
  const path = join(dir, 'pod');
  await worker.createNetns(path);
  const file = '/proc/thread-self/net/dev';
  assert.match((await worker.readInNetns(path, file)) ?? '', /^ +lo:/m);
  assert.equal((await worker.readInNetns(path, file))?.trim().split('\n').length, 3);
  assert.equal(await worker.readInNetns(join(dir, 'gone'), file), undefined);
  mkdirSync(join(dir, 'plain'));
  assert.equal(await worker.readInNetns(join(dir, 'plain'), file), undefined);
  await assert.rejects(worker.readInNetns(path, '/proc/thread-self/net/none'));
  assert.equal(namespacesOfThreads().size, 1);
});

test('no thread of the process changes its namespace, however many are made', {
  skip,
}, async (t) => {
  const { worker, dir } = start(t);
  const host = namespacesOfThreads();
  assert.equal(host.size, 1);
  const busy = { value: true };
  const load = (async () => {
    while (busy.value) {
      await Promise.all(Array.from({ length: 8 }, () => readFile('/proc/self/stat')));
    }
  })();
  const paths = Array.from({ length: 30 }, (_, i) => join(dir, `pod-${String(i)}`));
  await Promise.all(paths.map((path) => worker.createNetns(path)));
  assert.deepEqual(namespacesOfThreads(), host);
  assert.equal(new Set(paths.map((path) => statSync(path).ino)).size, paths.length);
  const ours = await run('readlink', ['/proc/self/ns/net']);
  assert.deepEqual(new Set([ours.stdout.toString().trim()]), host);
  await Promise.all(paths.map((path) => worker.removeNetns(path)));
  busy.value = false;
  await load;
  assert.deepEqual(namespacesOfThreads(), host);
});

test('disposing waits for what is under way and takes nothing more', { skip }, async (t) => {
  const { worker, dir } = start(t);
  await worker.createNetns(join(dir, 'a'));
  const pending = worker.createNetns(join(dir, 'b'));
  await new Promise((go) => setImmediate(go));
  await worker[Symbol.asyncDispose]();
  await pending;
  await assert.rejects(worker.createNetns(join(dir, 'c')), (e) => isKind(e, 'unavailable'));
});

const strace = findTool('strace');
const skipInjection = skip === false && strace === undefined ? 'needs strace' : skip;

test('a thread that can not come back is thrown away', { skip: skipInjection }, async (t) => {
  const { dir } = start(t);
  const script = `
    import { existsSync, readdirSync, readlinkSync } from 'node:fs';
    import { startNamespaceWorker } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
    const worker = startNamespaceWorker();
    const paths = ${JSON.stringify([join(dir, 'a'), join(dir, 'b')])};
    const reasons = [];
    for (const path of paths) {
      await worker.createNetns(path).catch((error) => reasons.push(String(error)));
    }
    const spaces = () => new Set(readdirSync('/proc/self/task').flatMap((task) => {
      try { return [readlinkSync('/proc/self/task/' + task + '/ns/net')]; } catch { return []; }
    })).size;
    for (const end = Date.now() + 10_000; spaces() > 1 && Date.now() < end; ) {
      await new Promise((go) => setTimeout(go, 10));
    }
    console.log(JSON.stringify({ reasons, left: paths.filter(existsSync), spaces: spaces() }));
    await worker[Symbol.asyncDispose]();
  `;
  // The first setns(2) of each thread fails: two failures mean that two threads were used.
  const inject = ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=setns:error=EPERM:when=1'];
  const result = await run(
    'strace',
    [...inject, process.execPath, '--input-type=module', '-e', script],
    { timeoutMs: 60_000 },
  );
  assert.equal(result.exitCode, 0, result.stderr.toString());
  const told = JSON.parse(result.stdout.toString()) as Record<string, unknown>;
  const reasons = told['reasons'] as string[];
  assert.equal(reasons.length, 2);
  for (const reason of reasons) {
    assert.match(reason, /return to the host's network namespace: .*EPERM/);
  }
  assert.deepEqual({ ...told, reasons: [] }, { reasons: [], left: [], spaces: 1 });
});
