import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { run, unmount } from '@gantry/host';
import { NamespaceMode } from '@gantry/proto';
import { hostOf, leaks } from './harness/host.ts';
import {
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { killServices } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

let stack: Stack;
let template: string;
let confFile: string;
before(async () => {
  template = join(await mkdtemp(join(runDir(), 'template-')), 'cni.template');
  stack = await startStack({ cni: `conf_template = "${template}"` });
  confFile = join(stack.cniConfDir, '10-test.conflist');
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

const output = async (command: string, ...args: string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await run(command, args);
  assert.equal(exitCode, 0, `${command} ${args.join(' ')}: ${stderr.toString()}`);
  return stdout.toString();
};
const networkReady = async () => {
  const { status } = await stack.runtime.status({});
  const found = status?.conditions.find(({ type }) => type === 'NetworkReady');
  return found ?? assert.fail('no NetworkReady');
};
const untilReady = (ready: boolean) =>
  until(`NetworkReady is ${String(ready)}`, networkReady, ({ status }) => status === ready);
const statusOf = async (pod: RunningPod) =>
  (await stack.runtime.podSandboxStatus(pod)).status ?? assert.fail('no status');
const codeOf = (url: string) =>
  until(
    url,
    () => fetch(url).then((r) => r.status, String),
    (code) => code === 200,
  );

/** Runs `work` with another configuration in place of the stack's. */
async function withConfig(config: object, work: () => Promise<void>): Promise<void> {
  const text = await readFile(confFile, 'utf8');
  await writeFile(confFile, JSON.stringify(config));
  try {
    await work();
  } finally {
    await writeFile(confFile, text);
    await untilReady(true);
  }
}

test('a configuration that is lost makes the network not ready, with the reason, and a new one ready again', async () => {
  await untilReady(true);
  await rename(confFile, `${confFile}.away`);
  const { reason, message } = await untilReady(false);
  assert.equal(reason, 'NetworkPluginNotReady');
  assert.match(message, /no configuration in .*\/cni/);
  await assert.rejects(stack.runtime.runPodSandbox({ config: podConfig(stack, 'unplugged') }), {
    kind: 'failed-precondition',
    message: /no configuration in/,
  });
  // A pod on the network of the host needs none.
  const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
  const onHost = await runPod(stack, podConfig(stack, 'on-host', { linux }));
  await removePod(stack, onHost.podSandboxId);

  await writeFile(confFile, '{"name": ');
  await until('a fault', networkReady, (c) => c.message.includes('10-test.conflist: '));
  await writeFile(
    confFile,
    JSON.stringify({ cniVersion: '1.0.0', name: 'x', plugins: [{ type: 'no-such-plugin' }] }),
  );
  await until('a missing plugin', networkReady, (c) =>
    c.message.includes('no plugin no-such-plugin'),
  );
  await rename(`${confFile}.away`, confFile);
  await untilReady(true);
  const pod = await runPod(stack, podConfig(stack, 'plugged'));
  await removePod(stack, pod.podSandboxId);
});

test('the ranges that a kubelet tells make a configuration of the template, where there is none', async () => {
  await writeFile(
    template,
    `{"cniVersion": "1.0.0", "name": "made", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": {
      "type": "host-local", "dataDir": "${stack.ipamDir}",
      "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
      "routes": [{{range $i, $route := .Routes}}{{if $i}}, {{end}}{"dst": "{{$route}}"}{{end}}]}}]}`,
  );
  const made = join(stack.cniConfDir, '10-gantry.conflist');
  const tell = (podCidr: string) =>
    stack.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } });
  await tell('10.250.7.0/24');
  assert.deepEqual(await readdir(stack.cniConfDir), ['10-test.conflist']);

  await rename(confFile, join(stack.dir, 'away'));
  try {
    await untilReady(false);
    await tell('10.250.8.0/24');
    assert.equal((await networkReady()).status, true);
    const pod = await runPod(stack, podConfig(stack, 'made'));
    assert.match((await statusOf(pod)).network?.ip ?? '', /^10\.250\.8\./);
    const { info } = await stack.runtime.status({ verbose: true });
    assert.match(info['cniconfig'] ?? '', /10\.250\.8\.0/);
    // Told anew, as a kubelet does; a pod that runs keeps what it has.
    await tell('10.250.8.0/24');
    await tell('10.250.9.0/24');
    const next = await runPod(stack, podConfig(stack, 'next'));
    assert.match((await statusOf(next)).network?.ip ?? '', /^10\.250\.9\./);
    assert.match((await statusOf(pod)).network?.ip ?? '', /^10\.250\.8\./);
    await removePod(stack, pod.podSandboxId);
    await removePod(stack, next.podSandboxId);
    await assert.rejects(tell('10.250.9.0'), { kind: 'invalid-argument', message: /pod_cidr/ });
    await tell('');
  } finally {
    await rm(made, { force: true });
    await rename(join(stack.dir, 'away'), confFile);
  }
  await untilReady(true);
});

test('annotations limit the bandwidth of a pod, in both directions, until it is stopped', async () => {
  const clean = await output('ip', '-o', 'link');
  const config = JSON.parse(await readFile(confFile, 'utf8')) as { plugins: object[] };
  const plugins = [...config.plugins, { type: 'bandwidth', capabilities: { bandwidth: true } }];
  await withConfig({ ...config, plugins }, async () => {
    const pod = await runPod(
      stack,
      podConfig(stack, 'slow', {
        annotations: {
          'kubernetes.io/ingress-bandwidth': '2M',
          'kubernetes.io/egress-bandwidth': '3M',
        },
      }),
    );
    const queues = await output('tc', 'qdisc', 'show');
    assert.match(queues, /qdisc tbf .* rate 2Mbit/);
    assert.match(queues, /qdisc tbf .* rate 3Mbit/);
    const free = await runPod(stack, podConfig(stack, 'free'));
    assert.equal((await output('tc', 'qdisc', 'show')).match(/qdisc tbf/g)?.length, 2);
    await removePod(stack, pod.podSandboxId);
    await removePod(stack, free.podSandboxId);
    assert.doesNotMatch(await output('tc', 'qdisc', 'show'), /qdisc tbf/);
    const before = new Set(clean.split('\n').map((line) => line.split(': ')[1]));
    const left = (await output('ip', '-o', 'link')).split('\n').map((line) => line.split(': ')[1]);
    assert.deepEqual(
      left.filter((name) => !before.has(name) && name?.startsWith('ge') === false),
      [],
    );
    await assert.rejects(
      stack.runtime.runPodSandbox({
        config: podConfig(stack, 'odd', {
          annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' },
        }),
      }),
      { kind: 'invalid-argument', message: /ingress-bandwidth.*fast/ },
    );
  });
});

test('a pod of two families has an address of each, and host ports on both', async () => {
  const clean = await hostOf(stack);
  const bridge = `gd${String(process.pid % 100_000)}`;
  const subnet = `${stack.addressPrefix.split('.').slice(0, 2).join('.')}.251.0/24`;
  const ipam = {
    type: 'host-local',
    dataDir: stack.ipamDir,
    ranges: [[{ subnet }], [{ subnet: 'fd00:251::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  };
  const config = {
    cniVersion: '1.0.0',
    name: 'dual',
    plugins: [
      { type: 'bridge', bridge, isGateway: true, ipMasq: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  await withConfig(config, async () => {
    const pod = await runPod(
      stack,
      podConfig(stack, 'dual', {
        portMappings: [
          { containerPort: 80, hostPort: 12_081 },
          { containerPort: 80, hostPort: 12_082, hostIp: '127.0.0.1' },
          { containerPort: 9, hostPort: 0 },
        ],
      }),
    );
    const { network } = await statusOf(pod);
    assert.ok(network?.ip.startsWith(subnet.slice(0, -4)), network?.ip);
    const [another, ...more] = network?.additionalIps ?? [];
    assert.match(another?.ip ?? '', /^fd00:251::/);
    assert.deepEqual(more, []);
    const id = await startContainer(
      stack,
      pod,
      shellContainer('web', 'exec httpd -f -p [::]:80 -h /www'),
    );
    await codeOf(`http://${network?.ip}/`);
    await codeOf(`http://[${another?.ip}]/`);
    await codeOf('http://127.0.0.1:12081/');
    await codeOf('http://127.0.0.1:12082/');
    // The bridge's own address is one of the host; a port of 127.0.0.1 alone is not there.
    await codeOf('http://[fd00:251::1]:12081/');
    const gateway = subnet.replace('.0/24', '.1');
    await codeOf(`http://${gateway}:12081/`);
    await assert.rejects(fetch(`http://${gateway}:12082/`));
    const { stdout } = await stack.runtime.execSync({
      containerId: id,
      cmd: ['ip', '-o', 'addr', 'show', 'eth0'],
    });
    assert.match(Buffer.from(stdout).toString(), /inet6 fd00:251::/);
    await removePod(stack, pod.podSandboxId);
    await assert.rejects(fetch('http://127.0.0.1:12081/'));
  });
  await run('ip', ['link', 'delete', bridge]);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('a pod whose namespace is gone is stopped, and its address and ports are free', async () => {
  const clean = await hostOf(stack);
  const config = podConfig(stack, 'robbed', {
    portMappings: [{ containerPort: 80, hostPort: 12_083 }],
  });
  const pod = await runPod(stack, config);
  await unmount(join(stack.stateDir, 'netns', pod.podSandboxId), { detach: true });
  await stack.runtime.stopPodSandbox(pod);
  await stack.runtime.removePodSandbox(pod);
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
  assert.doesNotMatch(await output('iptables-save', '-t', 'nat'), /12083/);
});

test('the result of the plugins is told right after a restart, and used to detach', async () => {
  const clean = await hostOf(stack);
  const pod = await runPod(
    stack,
    podConfig(stack, 'kept', { portMappings: [{ containerPort: 80, hostPort: 12_084 }] }),
  );
  const resultOf = async () => {
    const { info } = await stack.runtime.podSandboxStatus({ ...pod, verbose: true });
    return (JSON.parse(info['info'] ?? '{}') as { cniResult: unknown }).cniResult;
  };
  const before = await resultOf();
  assert.match(JSON.stringify(before), new RegExp(stack.addressPrefix.replaceAll('.', '\\.')));
  killServices(stack, 'sandbox-service');
  const after = await until('the result', () => resultOf().catch(() => undefined), Boolean, 60_000);
  assert.deepEqual(after, before);
  // Another configuration meanwhile: DEL is told that of ADD.
  const text = await readFile(confFile, 'utf8');
  await writeFile(confFile, text.replaceAll(/"subnet":"[^"]+"/g, '"subnet":"10.249.0.0/24"'));
  try {
    await removePod(stack, pod.podSandboxId);
  } finally {
    await writeFile(confFile, text);
  }
  assert.deepEqual(leaks(clean, await hostOf(stack)), []);
});

test('pods whose records are lost give their addresses and ports back', async () => {
  const clean = await hostOf(stack);
  await runPod(
    stack,
    podConfig(stack, 'lost', { portMappings: [{ containerPort: 80, hostPort: 12_085 }] }),
  );
  assert.match(await output('iptables-save', '-t', 'nat'), /12085/);
  await stack.gantryOk('down');
  const records = join(stack.rootDir, 'sandbox');
  for (const name of await readdir(records)) {
    if (name.startsWith('records.db')) {
      await rm(join(records, name));
    }
  }
  await stack.gantryOk('up');
  await until(
    'nothing is left',
    async () => leaks(clean, await hostOf(stack)),
    (left) => left.length === 0,
    60_000,
  );
  assert.doesNotMatch(await output('iptables-save', '-t', 'nat'), /12085/);
});
