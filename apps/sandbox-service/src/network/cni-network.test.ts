import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { kindOf, messageOf } from '@gantry/errors';
import type { Network } from '../ports.ts';
import { type CniOptions, openCniNetwork } from './cni-network.ts';
import { goodPlugin, makePluginBed, type PluginBed, somePod } from './fake-plugins.ts';

const chain = {
  cniVersion: '1.0.0',
  name: 'net1',
  plugins: [
    { type: 'first', mtu: 1400 },
    { type: 'second', capabilities: { portMappings: true } },
  ],
};
const mapping = { protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '' } as const;

async function open(
  t: TestContext,
  bed: PluginBed,
  more: Partial<CniOptions> = {},
): Promise<Network> {
  const binDirs = [join(bed.dir, 'none'), bed.binDir];
  const { confDir, cacheDir } = bed;
  const network = await openCniNetwork({ confDir, binDirs, timeoutMs: 5000, cacheDir, ...more });
  t.after(() => network[Symbol.asyncDispose]());
  return network;
}

/** Waits, for as long as the test may take, until the network is ready or is not. */
async function untilReady(t: TestContext, network: Network, ready: boolean): Promise<void> {
  while (network.status().ready !== ready) {
    await delay(5, undefined, { signal: t.signal });
  }
}

async function commands(bed: PluginBed): Promise<string[]> {
  return (await bed.calls()).map(({ command, type }) => `${command} ${type}`);
}

test('the network becomes ready when a configuration appears, and says why it is not', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin('second', goodPlugin);
  const network = await open(t, bed);
  const missing = `cni config uninitialized: no configuration in ${bed.confDir}`;
  assert.deepEqual(network.status(), {
    ready: false,
    reason: 'NetworkPluginNotReady',
    message: missing,
  });
  await assert.rejects(network.plan(), { kind: 'failed-precondition', message: missing });

  await mkdir(bed.confDir, { recursive: true });
  await bed.addConfig('10-net.conflist', chain);
  await untilReady(t, network, true);
  assert.deepEqual(network.status(), { ready: true, reason: '', message: '' });
  assert.deepEqual(await network.plan(), chain);

  await bed.addConfig('05-bad.conf', '{"name": "n",');
  await untilReady(t, network, false);
  assert.match(network.status().message, /^cni config uninitialized: .*05-bad\.conf: /);

  await rm(join(bed.confDir, '05-bad.conf'));
  await untilReady(t, network, true);
  await rm(bed.confDir, { recursive: true });
  await untilReady(t, network, false);
  await bed.addConfig('10-net.conflist', chain);
  await untilReady(t, network, true);
});

test('ADD runs the chain, each plugin with the result of the one before', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin('second', goodPlugin);
  const network = await open(t, bed);
  const pod = { ...somePod, portMappings: [mapping] };

  const attachment = await network.attach(pod, chain);

  assert.deepEqual(attachment.ips, ['10.9.0.2']);
  assert.deepEqual(attachment.config, chain);
  const [first, second] = await bed.calls();
  assert.deepEqual(first?.stdin, { type: 'first', mtu: 1400, cniVersion: '1.0.0', name: 'net1' });
  assert.deepEqual(second?.stdin, {
    type: 'second',
    cniVersion: '1.0.0',
    name: 'net1',
    runtimeConfig: {
      portMappings: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIP: '' }],
    },
    prevResult: attachment.result,
  });
  const { env } = first;
  assert.equal(env['CNI_IFNAME'], 'eth0');
  assert.equal(env['CNI_CONTAINERID'], 'pod1');
  assert.equal(env['CNI_NETNS'], '/proc/self/ns/net');
  assert.equal(env['CNI_PATH'], `${join(bed.dir, 'none')}:${bed.binDir}`);
  assert.match(env['CNI_ARGS'] ?? '', /^IgnoreUnknown=1;K8S_POD_NAMESPACE=default;/);
  assert.equal('HOME' in env, false, 'the environment of the service is kept from plugins');
});

test('DEL runs the chain in reverse with the recorded configuration and result', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin('second', goodPlugin);
  const network = await open(t, bed);
  const { result } = await network.attach(somePod, chain);
  await bed.addConfig('01-other.conf', { name: 'other', type: 'absent' });

  await network.detach({ ...somePod, netnsPath: '/nowhere' }, { config: chain, result });

  assert.deepEqual(await commands(bed), ['ADD first', 'ADD second', 'DEL second', 'DEL first']);
  const last = (await bed.calls()).at(-1);
  assert.equal(last?.env['CNI_NETNS'], '');
  assert.deepEqual(last.stdin['prevResult'], result);
});

test('DEL without a result, after a half-done ADD, gives plugins none', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin('second', goodPlugin);
  const network = await open(t, bed);

  await network.detach(somePod, { config: chain });

  const calls = await bed.calls();
  assert.deepEqual(await commands(bed), ['DEL second', 'DEL first']);
  assert.equal(
    calls.some(({ stdin }) => 'prevResult' in stdin),
    false,
  );
});

test("a failed ADD is followed by DEL of the whole list, and told in the plugin's words", async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin(
    'second',
    `[ "$CNI_COMMAND" = DEL ] && exit 0; echo '{"code":100,"msg":"no room","details":"pool is full"}'; exit 1`,
  );
  const network = await open(t, bed);

  await assert.rejects(network.attach(somePod, chain), {
    kind: 'internal',
    message: 'cni ADD second (network net1, pod pod1): no room: pool is full (code 100)',
  });
  assert.deepEqual(await commands(bed), ['ADD first', 'ADD second', 'DEL second', 'DEL first']);
});

test('an undo that fails as well is told, and does not keep the others from theirs', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin('second', 'echo "panic: $CNI_COMMAND" >&2; exit 2');
  const network = await open(t, bed);

  await assert.rejects(network.attach(somePod, chain), {
    message: /^cni ADD second .*: exit code 2: panic: ADD; and then cni DEL second .*panic: DEL$/,
  });
  assert.equal((await commands(bed)).at(-1), 'DEL first');
});

test('each way a plugin can go wrong is told apart', async (t) => {
  const table: readonly [script: string, message: RegExp, kind: string][] = [
    ['echo "<html>"', /printed no JSON but "<html>"/, 'internal'],
    ['kill -9 $$', /killed by SIGKILL/, 'internal'],
    ['echo \'{"code":11,"msg":"wait"}\'; exit 1', /wait \(code 11\)/, 'unavailable'],
    ['echo \'{"code":7,"msg":"bad"}\'; exit 1', /bad \(code 7\)/, 'failed-precondition'],
    ['exit 3', /exit code 3$/, 'internal'],
    ['exit 0', /result is not one of CNI/, 'internal'],
    ['echo \'{"ips":[]}\'', /no plugin gave eth0 an address/, 'internal'],
    ['sleep 60 & sleep 60', /no end within 300 ms/, 'deadline-exceeded'],
  ];
  for (const [script, message, kind] of table) {
    const bed = await makePluginBed(t);
    await bed.addPlugin('only', `[ "$CNI_COMMAND" = DEL ] && exit 0\n${script}`);
    await using network = await openCniNetwork({
      confDir: bed.confDir,
      cacheDir: bed.cacheDir,
      binDirs: [bed.binDir],
      // A busy host has its time with those that end by themselves.
      timeoutMs: kind === 'deadline-exceeded' ? 300 : 60_000,
    });
    const config = { name: 'n', cniVersion: '1.0.0', type: 'only' };
    await assert.rejects(
      network.attach(somePod, config),
      (error) => kindOf(error) === kind && message.test(messageOf(error)),
      script,
    );
  }
});

test('a missing plugin names the directories and the Debian package', async (t) => {
  const bed = await makePluginBed(t);
  const network = await open(t, bed);
  await assert.rejects(
    network.attach(somePod, { name: 'n', cniVersion: '1.0.0', type: 'bridge' }),
    {
      kind: 'failed-precondition',
      message: new RegExp(
        `no plugin bridge in ${join(bed.dir, 'none')}, ${bed.binDir}: install Debian package containernetworking-plugins`,
      ),
    },
  );
});

test('an abort lets the plugin end that adds the pod, and begins no other', async (t) => {
  const bed = await makePluginBed(t);
  const [go, whole] = [join(bed.dir, 'go'), join(bed.dir, 'whole')];
  const waits = `until [ -e ${go} ]; do sleep 0.01; done; touch ${whole}`;
  await bed.addPlugin('first', `[ "$CNI_COMMAND" = DEL ] && exit 0\n${waits}\n${goodPlugin}`);
  await bed.addPlugin('second', goodPlugin);
  const network = await open(t, bed);
  const controller = new AbortController();
  const plugins = [{ type: 'first' }, { type: 'second' }];
  const attached = network.attach(
    somePod,
    { name: 'n', cniVersion: '1.0.0', plugins },
    { signal: controller.signal },
  );
  while ((await bed.calls()).length === 0) {
    await delay(5, undefined, { signal: t.signal });
  }
  controller.abort();
  await writeFile(go, '');
  await assert.rejects(attached, { name: 'AbortError' });
  assert.ok(existsSync(whole));
  assert.deepEqual(await commands(bed), ['ADD first', 'DEL second', 'DEL first']);
});

test('an abort ends a plugin that does not end, with its children, and runs DEL', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('only', '[ "$CNI_COMMAND" = DEL ] && exit 0\nsleep 60 & sleep 60');
  const network = await open(t, bed, { abortGraceMs: 10 });
  const controller = new AbortController();
  const attached = network.attach(
    somePod,
    { name: 'n', cniVersion: '1.0.0', type: 'only' },
    { signal: controller.signal },
  );
  while ((await bed.calls()).length === 0) {
    await delay(5, undefined, { signal: t.signal });
  }
  controller.abort();
  await assert.rejects(attached, { kind: 'canceled' });
  assert.deepEqual(await commands(bed), ['ADD only', 'DEL only']);
});

test('portmap is left out for a pod without mappings, and only then', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('first', goodPlugin);
  await bed.addPlugin('portmap', goodPlugin);
  const network = await open(t, bed);
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  const config = { cniVersion: '1.0.0', name: 'n', plugins: [{ type: 'first' }, portmap] };

  const { result } = await network.attach(somePod, config);
  await network.detach(somePod, { config, result });
  assert.deepEqual(await commands(bed), ['ADD first', 'DEL first']);

  const mapped = { ...somePod, portMappings: [mapping] };
  await network.attach(mapped, config);
  await network.detach(mapped, { config });
  assert.deepEqual((await commands(bed)).slice(2), [
    'ADD first',
    'ADD portmap',
    'DEL portmap',
    'DEL first',
  ]);
});

test('a pod that attach refuses has nothing to detach', async (t) => {
  const bed = await makePluginBed(t);
  const network = await open(t, bed);
  const pod = { ...somePod, name: 'a;b' };
  await assert.rejects(network.attach(pod, chain), { kind: 'invalid-argument' });
  await network.detach(pod, { config: chain });
  assert.deepEqual(await bed.calls(), []);
});
