import assert from 'node:assert/strict';
import { chmod, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCniNetwork } from './cni-network.ts';
import { goodPlugin, makePluginBed, type PluginBed, somePod } from './fake-plugins.ts';

async function open(t: TestContext, bed: PluginBed, more: { confTemplate?: string } = {}) {
  const { confDir, cacheDir, binDir } = bed;
  const network = await openCniNetwork({
    confDir,
    cacheDir,
    binDirs: [binDir],
    timeoutMs: 5000,
    ...more,
  });
  t.after(() => network[Symbol.asyncDispose]());
  return network;
}

const config = (cniVersion: string, more: object = {}) => ({
  cniVersion,
  name: 'pods',
  plugins: [{ type: 'good' }],
  ...more,
});
const attachmentsIn = async (bed: PluginBed) =>
  (await readdir(bed.cacheDir)).filter((name) => name.endsWith('.json'));
const pod = (sandboxId: string) => ({ ...somePod, sandboxId });

test('pods without a record are detached with what ADD saw, also by another instance', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('good', goodPlugin);
  const first = await open(t, bed);
  for (const id of ['known', 'lost']) {
    await first.attach(pod(id), config('1.0.0'));
  }
  assert.deepEqual(await attachmentsIn(bed), ['known.json', 'lost.json']);
  const second = await open(t, bed);
  assert.deepEqual(await second.collect((id) => id === 'known'), ['lost']);
  const [del, another] = (await bed.calls()).filter(({ command }) => command === 'DEL');
  assert.equal(del?.env['CNI_CONTAINERID'], 'lost');
  assert.deepEqual((del.stdin['prevResult'] as { ips: unknown }).ips, [
    { address: '10.9.0.2/24', interface: 0 },
  ]);
  assert.equal(another, undefined);
  assert.deepEqual(await attachmentsIn(bed), ['known.json']);
  await first.detach(pod('known'), { config: config('1.0.0') });
  assert.deepEqual(await attachmentsIn(bed), []);
});

test('an ADD that failed and was undone leaves nothing to collect, one whose undo failed does', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('good', '[ "$CNI_COMMAND" = DEL ] || exit 3');
  const network = await open(t, bed);
  await assert.rejects(network.attach(pod('a'), config('1.0.0')));
  assert.deepEqual(await attachmentsIn(bed), []);
  await bed.addPlugin('good', 'exit 3');
  await assert.rejects(network.attach(pod('a'), config('1.0.0')));
  assert.deepEqual(await attachmentsIn(bed), ['a.json']);
});

test('plugins of CNI 1.1 are told all that is attached, older ones and shared networks nothing', async (t) => {
  for (const [version, more, isTold] of [
    ['1.1.0', {}, true],
    ['1.0.0', {}, false],
    ['1.1.0', { disableGC: true }, false],
  ] as const) {
    const bed = await makePluginBed(t);
    await bed.addPlugin('good', goodPlugin);
    await bed.addConfig('10.conflist', config(version, more));
    const network = await open(t, bed);
    await network.attach(pod('a'), await network.plan());
    await network.attach(pod('b'), await network.plan());
    await network.collect((id) => id === 'a');
    const calls = (await bed.calls()).filter(({ command }) => command === 'GC');
    assert.equal(calls.length, isTold ? 1 : 0);
    if (isTold) {
      assert.deepEqual(calls[0]?.stdin['cni.dev/valid-attachments'], [
        { containerID: 'a', ifname: 'eth0' },
      ]);
      assert.equal(calls[0].env['CNI_CONTAINERID'], undefined);
    }
  }
});

test('a pod is not attached while a collection runs: it would be taken away', async (t) => {
  const bed = await makePluginBed(t);
  const gate = join(bed.dir, 'gate');
  await bed.addPlugin(
    'good',
    `[ "$CNI_COMMAND" != GC ] || { touch ${bed.dir}/started; while [ ! -e ${gate} ]; do sleep 0.01; done; }\n${goodPlugin}`,
  );
  await bed.addConfig('10.conflist', config('1.1.0'));
  const network = await open(t, bed);
  const plan = await network.plan();
  const collecting = network.collect(() => true);
  while (!(await readdir(bed.dir)).includes('started')) {
    await new Promise((go) => setImmediate(go));
  }
  const attaching = network.attach(pod('late'), plan);
  // It can't have begun: what it waits for is held by the plugin.
  assert.deepEqual(await attachmentsIn(bed), []);
  await writeFile(gate, '');
  await collecting;
  await attaching;
  const order = (await bed.calls()).map(({ command }) => command).filter((c) => c !== 'STATUS');
  assert.deepEqual(order, ['GC', 'ADD']);
});

test('the network is not ready while a plugin is missing, and says which', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addConfig('10.conflist', config('1.0.0'));
  const network = await open(t, bed);
  const { ready, reason, message } = network.status();
  assert.deepEqual([ready, reason], [false, 'NetworkPluginNotReady']);
  assert.match(message, /no plugin good in /);
  await bed.addPlugin('good', goodPlugin);
  assert.deepEqual(network.status(), { ready: true, reason: '', message: '' });
  await chmod(join(bed.binDir, 'good'), 0o600);
  await rm(join(bed.binDir, 'good'));
  assert.equal(network.status().ready, false);
});

test('a plugin of CNI 1.1 that says it can not is heard, one of before is not asked', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin(
    'good',
    '[ "$CNI_COMMAND" != STATUS ] || { echo \'{"code":50,"msg":"no route to the fabric"}\'; exit 1; }',
  );
  await bed.addConfig('10.conflist', config('1.1.0'));
  const network = await open(t, bed);
  network.status();
  while (network.status().ready) {
    await new Promise((go) => setImmediate(go));
    t.signal.throwIfAborted();
  }
  assert.match(network.status().message, /cni STATUS good .*no route to the fabric/);

  const old = await makePluginBed(t);
  await old.addPlugin('good', goodPlugin);
  await old.addConfig('10.conflist', config('1.0.0'));
  const another = await open(t, old);
  assert.equal(another.status().ready, true);
  await another[Symbol.asyncDispose]();
  assert.deepEqual(await old.calls(), []);
});

test('the ranges of the node make a configuration where there is none, and only there', async (t) => {
  const bed = await makePluginBed(t);
  await bed.addPlugin('good', goodPlugin);
  const confTemplate = join(bed.dir, 'template');
  await writeFile(
    confTemplate,
    '{"cniVersion":"1.0.0","name":"made","plugins":[{"type":"good","subnet":"{{.PodCIDR}}"}]}',
  );
  const network = await open(t, bed, { confTemplate });
  assert.equal(network.status().ready, false);
  await network.setPodCidr('10.1.0.0/24');
  assert.equal(network.status().ready, true);
  await network.setPodCidr('10.2.0.0/24,fd00::/64');
  assert.match(JSON.stringify(await network.plan()), /"subnet":"10\.2\.0\.0\/24"/);
  await bed.addConfig('05-theirs.conflist', config('1.0.0'));
  await network.setPodCidr('10.3.0.0/24');
  await rm(join(bed.confDir, '05-theirs.conflist'));
  assert.match(JSON.stringify(await network.plan()), /10\.2\.0\.0/);
  await assert.rejects(network.setPodCidr('nonsense'), /is no range of addresses/);
  assert.match(JSON.stringify(network.describe()), /10-gantry\.conflist.*10\.2\.0\.0/);
});
