import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { completeConfig } from '@gantry/config';
import { createLogger, type Logger } from '@gantry/telemetry';
import { addressOf } from '../supervisor/stack-state.ts';
import { testDir } from '../testing-dir.ts';
import { checkDirectories } from './check-directories.ts';
import { checkPorts, wantedPorts } from './check-ports.ts';
import { bridgeConfig, describeCni, freeSubnet } from './cni-config.ts';
import { lastTrouble } from './last-trouble.ts';
import { ensure, needsOf } from './packages.ts';
import { listeningInodes } from './port-owner.ts';
import { spawnSupervisor } from './spawned-supervisor.ts';
import { checkSameStack, tellNewerConfig } from './start-stack.ts';

test('a port in use is told with its owner and the key to change', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const config = completeConfig({ nats: { port }, admin: { enabled: false } });
  await assert.rejects(checkPorts(config), {
    kind: 'already-exists',
    message: new RegExp(
      `^port ${port} is in use by .+ \\(pid ${process.pid}\\)\\. Stop that, or set nats\\.port`,
    ),
  });
});

test('free ports, ports that any will do for, and those of others are no fault', async () => {
  const config = completeConfig({
    nats: { url: 'nats://10.0.0.5:4222' },
    admin: { enabled: false },
  });
  assert.deepEqual(wantedPorts(config), []);
  await checkPorts(config);
  assert.deepEqual(
    wantedPorts(completeConfig({ streaming: { port: 9 } })).map((p) => p.key),
    ['nats.port', 'admin.port', 'streaming.port'],
  );
});

test('only sockets that listen on just this port count', () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1092 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:1092 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 0100007F:0109 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1
`;
  assert.deepEqual(listeningInodes(table, 0x1092), ['111']);
});

const routes = (...rows: readonly string[]): string =>
  [
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT',
    ...rows,
  ].join('\n');

test('the pod subnet meets no route of the host', () => {
  const byDefault = 'eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0';
  assert.equal(freeSubnet(routes(byDefault)), '10.85.0.0/16');
  // 10.85.3.0/24 and 10.86.0.0/15, as little-endian words.
  const inside = 'cni0\t0003550A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0';
  const wide = 'tun0\t0000560A\t00000000\t0001\t0\t0\t0\t0000FEFF\t0\t0\t0';
  assert.equal(freeSubnet(routes(byDefault, inside, wide)), '10.88.0.0/16');
  const all = 'tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0';
  assert.throws(() => freeSubnet(routes(all)), { kind: 'failed-precondition' });
});

test('a bridge is written only where asked for and where there is no configuration', async (t) => {
  const dir = join(testDir(t), 'net.d');
  const config = completeConfig({ state_dir: testDir(t), cni: { conf_dir: dir } });
  const notes: string[] = [];
  const note = (text: string): number => notes.push(text);
  await describeCni(config, { write: false, note });
  assert.match(notes.pop() ?? '', /no CNI configuration in .*net\.d/);

  const file = await describeCni(config, { write: true, note });
  assert.equal(file, join(dir, '10-gantry.conflist'));
  const [name = ''] = readdirSync(dir);
  assert.match(notes.pop() ?? '', new RegExp(`wrote .*${name}`));
  const { plugins } = JSON.parse(readFileSync(join(dir, name), 'utf8')) as {
    plugins: { type: string; bridge?: string; ipam?: { dataDir: string } }[];
  };
  assert.deepEqual(
    plugins.map((p) => p.type),
    ['bridge', 'portmap'],
  );
  assert.ok((plugins[0]?.bridge ?? '').length <= 15);
  assert.equal(plugins[0]?.ipam?.dataDir, join(config.state_dir, 'ipam'));

  writeFileSync(join(dir, name), 'mine');
  await describeCni(config, { write: true, note });
  assert.equal(readFileSync(join(dir, name), 'utf8'), 'mine');
  assert.deepEqual(notes, []);
});

test('two stacks get two bridges', () => {
  const bridge = (dir: string): unknown =>
    /"bridge": "(.+)"/.exec(bridgeConfig(dir, '10.85.0.0/16'))?.[1];
  assert.equal(bridge('/run/gantry'), 'gantry0');
  assert.notEqual(bridge('/run/a'), bridge('/run/b'));
});

test('what is missing is told with the packages to install, each once', async () => {
  const config = completeConfig({
    runtimes: { runc: { path: '/nonexistent/runc' } },
    pods: { conmon_path: '/nonexistent/conmon' },
    cni: { bin_dirs: ['/nonexistent'] },
    nats: { path: '/nonexistent/nats-server' },
  });
  const needs = needsOf(config).filter((need) => need.tool !== 'iptables');
  const { signal } = new AbortController();
  await assert.rejects(ensure(needs, { install: false, note: () => undefined, signal }), {
    kind: 'failed-precondition',
    message:
      /runc, \/nonexistent\/conmon, bridge, .*nats-server missing\. Install: apt-get install runc conmon containernetworking-plugins nats-server /,
  });
  const foreign = completeConfig({
    default_runtime: 'own',
    runtimes: { own: { path: '/nonexistent/own-runtime' } },
  });
  await assert.rejects(ensure(needsOf(foreign), { install: true, note: () => undefined, signal }), {
    kind: 'failed-precondition',
    message: /^\/nonexistent\/own-runtime missing, and no Debian package is known to bring it\. /,
  });
  const there = [{ tool: 'sh', package: 'dash', isThere: () => true }];
  await ensure(there, { install: false, note: () => undefined, signal });
});

/** An apt-get that says what it is told to, and fails as often. */
function fakeApt(t: TestContext, ...complaints: readonly string[]): () => string[] {
  const dir = testDir(t);
  const says = complaints.map((text, i) => `  ${i + 1}) echo 'E: ${text}' >&2; exit 100 ;;\n`);
  writeFileSync(
    join(dir, 'apt-get'),
    `#!/bin/sh\ncd ${dir}\necho "$*" >> calls\ncase $* in *update*) exit ;; esac\ncase $(grep -vc update calls) in\n${says.join('')}esac\ntouch tool\n`,
    { mode: 0o755 },
  );
  const { PATH } = process.env;
  process.env['PATH'] = `${dir}:${PATH}`;
  t.after(() => {
    process.env['PATH'] = PATH;
  });
  return () => readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n');
}

test('packages are installed, from fresh lists where the old ones lack them', async (t) => {
  const calls = fakeApt(t, 'Unable to locate package runc');
  const notes: string[] = [];
  const note = (text: string): number => notes.push(text);
  let looks = 0;
  const need = { tool: 'runc', package: 'runc', isThere: () => looks++ > 0 };
  const { signal } = new AbortController();
  await ensure([need], { install: true, note, signal, policyFile: '/nonexistent/policy' });
  assert.deepEqual(
    calls().map((call) => /(update|install) .*/.exec(call)?.[0]),
    [
      'install -y --no-install-recommends runc',
      'update -q',
      'install -y --no-install-recommends runc',
    ],
  );
  assert.deepEqual(notes, [
    'installing Debian packages: runc',
    '  the package lists are old or missing: apt-get update',
  ]);
});

test('what keeps apt-get from installing is told, and no list is fetched for it', async (t) => {
  const calls = fakeApt(t, 'Could not get lock. It is held by process 4711');
  const need = { tool: 'runc', package: 'runc', isThere: () => false };
  const { signal } = new AbortController();
  const policyFile = '/nonexistent/policy';
  await assert.rejects(
    ensure([need], { install: true, note: () => undefined, signal, policyFile }),
    {
      kind: 'failed-precondition',
      message:
        'apt-get install -y --no-install-recommends runc: Could not get lock. It is held by process 4711. Mend that, or install them by hand',
    },
  );
  assert.equal(calls().length, 1);
});

test('an existing NATS server needs no nats-server here', () => {
  const config = completeConfig({ nats: { url: 'nats://10.0.0.5:4222' } });
  assert.ok(!needsOf(config).some((need) => need.package === 'nats-server'));
});

test('the last complaint of a log is found, and not one of an earlier run', async (t) => {
  const dir = testDir(t);
  mkdirSync(join(dir, 'log'));
  const file = join(dir, 'log/x.log');
  assert.equal(await lastTrouble(file, 0), undefined);
  const logged = (write: (log: Logger) => void, atMs: number): string => {
    t.mock.timers.enable({ apis: ['Date'], now: atMs });
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    write(createLogger({ service: 's', instance: 'i', level: 'info', destination }));
    t.mock.timers.reset();
    return lines.join('');
  };
  const old = logged((log) => log.fatal('can not run: old'), 100);
  const later = logged((log) => log.info('listening'), 300) + logged((log) => log.warn('w'), 300);
  writeFileSync(file, old + later);
  assert.equal(await lastTrouble(file, 200), undefined);
  const err = new Error('no space');
  writeFileSync(file, old + logged((log) => log.error({ err }, 'start'), 250) + later);
  assert.equal(await lastTrouble(file, 200), 'start: no space');
  writeFileSync(file, logged((log) => log.fatal('start: no space'), 250) + later);
  assert.equal(await lastTrouble(file, 200), 'start: no space');
  const before = 'gantry: of an earlier run\n';
  writeFileSync(file, `${before}gantry: supervise: no\n`);
  assert.equal(await lastTrouble(file, 0, before.length), 'gantry: supervise: no');
  assert.equal(await lastTrouble(file, 0, 1000), undefined);
  writeFileSync(file, '[12] 2026/11/22 10:00:00.000000 [FTL] listen tcp: address in use\n');
  assert.equal(await lastTrouble(file, 0), '[FTL] listen tcp: address in use');
});

test('a config that was written after the start is told, and when it counts', async (t) => {
  const configFile = join(testDir(t), 'c.toml');
  const notes: string[] = [];
  const note = (text: string) => void notes.push(text);
  await tellNewerConfig({ configFile, note }, { startedAtMs: 0 });
  writeFileSync(configFile, '');
  utimesSync(configFile, 1000, 1000);
  await tellNewerConfig({ configFile, note }, { startedAtMs: 1_000_001 });
  assert.deepEqual(notes, []);
  await tellNewerConfig({ configFile, note }, { startedAtMs: 999_999 });
  assert.match(
    notes.join(),
    /c\.toml has changed since: it counts after gantry down and gantry up/,
  );
});

test('a config that means another stack than the one that runs is told what differs', () => {
  const config = completeConfig({});
  const running = {
    supervisor: { pid: 1, startTime: '1' },
    startedAtMs: 1,
    compact: false,
    children: [],
    address: addressOf(config),
  };
  checkSameStack(config, running);
  checkSameStack(completeConfig({ admin: { port: 1 } }), running);
  const other = completeConfig({ nats: { port: 5242 }, grpc: { socket: '/run/x.sock' } });
  assert.throws(() => checkSameStack(other, running), {
    kind: 'already-exists',
    message:
      /^a stack runs in state_dir \/run\/gantry with grpc\.socket \S+gantry\.sock, not \/run\/x\.sock; nats\.url \S+:4242, not \S+:5242\. Stop it first/,
  });
});

test('a disk without room is told before anything starts, with its key', async (t) => {
  const dir = testDir(t);
  const config = completeConfig({
    state_dir: join(dir, 'run'),
    root_dir: join(dir, 'lib'),
    grpc: { socket: join(dir, 'sockets/s') },
  });
  await checkDirectories(config, 1);
  assert.deepEqual(readdirSync(dir).sort(), ['lib', 'run', 'sockets']);
  await assert.rejects(checkDirectories(config, Number.MAX_SAFE_INTEGER), {
    kind: 'resource-exhausted',
    message: /^state_dir \/.*\/run: no space left on device: \d+ KiB are free/,
  });
  writeFileSync(join(dir, 'file'), '');
  const blocked = completeConfig({ ...config, root_dir: join(dir, 'file') });
  await assert.rejects(checkDirectories(blocked), {
    kind: 'failed-precondition',
    message: /^make root_dir \//,
  });
});

test('a supervisor that ends is known to have ended, and can be ended before it says that it runs', async (t) => {
  const log = join(testDir(t), 'supervisor.log');
  const failing = await spawnSupervisor(log, ['--config', '/nonexistent/c.toml']);
  while (failing.ended() === undefined) {
    await delay(20);
  }
  assert.equal(failing.ended(), 'exit code 1');
  // As a service would have logged it.
  const line = JSON.parse(readFileSync(log, 'utf8')) as Record<string, string>;
  assert.match(line['msg'] ?? '', /nonexistent\/c\.toml/);
  assert.deepEqual([line['level'], line['service']], ['fatal', 'supervisor']);
  assert.match((await lastTrouble(log, 0)) ?? '', /nonexistent\/c\.toml/);
  await failing.end();

  const starting = await spawnSupervisor(log, ['--config', '/nonexistent/c.toml']);
  assert.ok(starting.logFrom > 0);
  await starting.end();
  while (starting.ended() === undefined) {
    await delay(20);
  }
});
