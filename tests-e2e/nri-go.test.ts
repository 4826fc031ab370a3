/*
 * Plugins that speak through the official Go stub, connected and launched.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { env } from 'node:process';
import { after, before, type TestContext, test } from 'node:test';
import { isKind } from '@gantry/errors';
import { type NriStack, startNriStack } from './harness/nri.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { killServices } from './harness/services.ts';
import { until } from './harness/until.ts';

const judge = env['GANTRY_E2E_NRI_JUDGE'];
const ulimits = env['GANTRY_E2E_NRI_ULIMITS'];
const skip = judge === undefined || ulimits === undefined ? 'no Go toolchain' : false;

/** What a plugin may ask for by its name. */
const gift = {
  cdiVersion: '0.6.0',
  kind: 'judge.example.com/gift',
  devices: [{ name: 'one', containerEdits: { env: ['GIFT=unpacked'] } }],
};

let stack: NriStack;
let dir: string;
let launchedLog: string;

before(async () => {
  if (judge === undefined || ulimits === undefined) {
    return;
  }
  dir = await mkdtemp(join(runDir(), 'nri-'));
  launchedLog = join(dir, 'launched.log');
  const plugins = join(dir, 'plugins');
  await mkdir(plugins);
  await mkdir(join(dir, 'conf.d'));
  await copyFile(judge, join(plugins, '40-launched-judge'));
  await copyFile(ulimits, join(plugins, '50-ulimit-adjuster'));
  await writeFile(join(plugins, 'README'), 'not executable: no plugin\n');
  await writeFile(join(plugins, 'wrong-name'), '#!/bin/sh\n');
  await chmod(join(plugins, 'wrong-name'), 0o755);
  await writeFile(join(dir, 'conf.d', 'launched-judge.conf'), `${launchedLog}\n`);
  await mkdir(join(dir, 'cdi'));
  await writeFile(join(dir, 'cdi', 'judge.json'), JSON.stringify(gift));
  stack = await startNriStack(
    dir,
    'plugin_registration_timeout_ms = 60000\n[nri.default_validator]\nenabled = true\n',
    { pods: () => `cdi_spec_dirs = ["${join(dir, 'cdi')}"]\n` },
  );
});
after(async () => {
  if (skip === false) {
    await stack[Symbol.asyncDispose]();
  }
});

/** Starts the judge as an external plugin and waits until it is asked. */
async function connectJudge(
  t: TestContext,
  name: string,
  index: string,
): Promise<{ readonly log: string; readonly child: ChildProcess }> {
  const log = join(dir, `${name}.log`);
  const args = ['-name', name, '-idx', index, '-socket', stack.nriSocket, '-log', log];
  const full = index.split(',').map((one) => `${one}-${name}`);
  const child = spawn(judge ?? '', args, { stdio: 'ignore' });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await until('plugins gone', stack.pluginNames, (now) => !full.some((one) => now.includes(one)));
  });
  await stack.untilPlugged(...full);
  return { log, child };
}

const linesOf = async (file: string, pod: string): Promise<string[]> => {
  const text = await readFile(file, 'utf8');
  const lines = text.split('\n').filter((line) => line.includes(` e2e/${pod} `));
  return lines.map((line) => line.replace(` e2e/${pod} `, ' ').trim());
};

const sh = async (containerId: string, script: string): Promise<string> => {
  const cmd = ['/bin/sh', '-c', script];
  const { stdout, stderr } = await stack.runtime.execSync({ containerId, cmd, timeout: 10n });
  return Buffer.from(stdout).toString() + Buffer.from(stderr).toString();
};

test('launched Go plugins are configured and asked; files that are none are left out', {
  skip,
}, async () => {
  assert.deepEqual(await stack.pluginNames(), ['40-launched-judge', '50-ulimit-adjuster']);
  const log = await readFile(launchedLog, 'utf8');
  assert.match(log, /^Configure-gantry /);
  assert.match(log, /^Synchronize-0-0 /m);
});

test('two Go plugins that set the same are refused, with both names', { skip }, async (t) => {
  const source = join(dir, 'mounted');
  await mkdir(source);
  await writeFile(join(source, 'file'), 'judged\n');
  const { log } = await connectJudge(t, 'judge', '41');
  const clash = await runPod(
    stack,
    podConfig(stack, 'go-clash', { annotations: { 'judge/mount': source } }),
  );
  t.after(() => removePod(stack, clash.podSandboxId));
  await assert.rejects(
    startContainer(stack, clash, shellContainer('main', 'exec sleep 1000')),
    /plugins "41-judge" and "40-launched-judge" both tried to set/,
  );
  const events = await linesOf(log, 'go-clash');
  assert.deepEqual(
    events.filter((e) => !e.startsWith('RunPod')),
    ['CreateContainer main', 'StopContainer main', 'RemoveContainer main'],
  );
});

test('a launched Go plugin adjusts, watches, and misses no event', { skip }, async () => {
  const source = join(dir, 'mounted-2');
  await mkdir(source);
  await writeFile(join(source, 'file'), 'judged\n');
  const pod = await runPod(
    stack,
    podConfig(stack, 'go-life', { annotations: { 'judge/mount': source } }),
  );
  const config = shellContainer('main', 'exec sleep 1000', {
    envs: [{ key: 'DROPPED', value: Buffer.from('x') }],
  });
  const containerId = await startContainer(stack, pod, config);
  assert.equal(
    await sh(containerId, 'echo "$JUDGED/$DROPPED"; cat /judged/file'),
    'main/\njudged\n',
  );
  assert.match(
    await sh(containerId, 'grep "open files" /proc/$(pidof sleep)/limits'),
    /\b333 +444\b/,
  );
  assert.equal(await sh(containerId, 'cat /proc/$(pidof sleep)/oom_score_adj'), '321\n');
  assert.equal(await sh(containerId, 'echo x > /dev/judge && echo written'), 'written\n');
  assert.equal(await readFile(join(source, 'hooked'), 'utf8'), 'hooked\n');
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.equal(status?.resources?.linux?.memoryLimitInBytes, BigInt(50 << 20));
  await stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 300n } });
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(await linesOf(launchedLog, 'go-life'), [
    'RunPodSandbox',
    'CreateContainer main',
    'Validate main',
    'StartContainer main',
    'PostStartContainer main',
    'UpdateContainer main',
    'StopContainer main',
    'StopPodSandbox',
    'RemoveContainer main',
    'RemovePodSandbox',
  ]);
});

test('what a container has is replaced, whether a plugin removes or adds first; CDI devices come', {
  skip,
}, async (t) => {
  const annotations = { 'judge/override': 'yes' };
  const pod = await runPod(stack, podConfig(stack, 'override', { annotations }));
  t.after(() => removePod(stack, pod.podSandboxId));
  const config = shellContainer('main', 'exec sleep 1000', {
    envs: [{ key: 'SET', value: Buffer.from('before') }],
  });
  const id = await startContainer(stack, pod, config);
  assert.equal(await sh(id, 'echo "$SET $GIFT"'), 'anew unpacked\n');
  const options = await sh(id, `awk '$2 == "/sys/fs/cgroup" { print $4 }' /proc/mounts`);
  assert.match(options, /^rw,/);
  const spec = JSON.parse(
    await readFile(join(stack.stateDir, 'containers', id, 'config.json'), 'utf8'),
  ) as {
    annotations: Record<string, string>;
  };
  assert.equal(spec.annotations['judge/set'], 'anew');
});

test('an I/O priority is set where the OCI runtime can do that, and refused by name elsewhere', {
  skip,
}, async (t) => {
  const { stdout } = spawnSync('runc', ['features'], { encoding: 'utf8' });
  const { ociVersionMax } = JSON.parse(stdout) as { ociVersionMax: string };
  const pod = await runPod(stack, podConfig(stack, 'idle', { annotations: { 'judge/idle': 'y' } }));
  t.after(() => removePod(stack, pod.podSandboxId));
  const starting = startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  if (ociVersionMax.startsWith('1.0')) {
    const words = /plugin "40-launched-judge" wants IoPriority: OCI runtime "runc" can not do it/;
    await assert.rejects(starting, words);
    return;
  }
  const file = join(stack.stateDir, 'containers', await starting, 'config.json');
  const spec = JSON.parse(await readFile(file, 'utf8')) as { process: { ioPriority: object } };
  assert.deepEqual(spec.process.ioPriority, { class: 'IOPRIO_CLASS_IDLE', priority: 0 });
});

test('a Go plugin is told the network, the addresses, the process and the cgroup of a pod', {
  skip,
}, async (t) => {
  const annotations = { 'judge/show': 'yes' };
  const pod = await runPod(stack, podConfig(stack, 'shown', { annotations }));
  t.after(() => removePod(stack, pod.podSandboxId));
  const { status } = await stack.runtime.podSandboxStatus({ podSandboxId: pod.podSandboxId });
  const [line = ''] = (await linesOf(launchedLog, 'shown')).filter((l) => l.startsWith('Shown'));
  const [, network, ips, pid, cgroup] =
    /network=(\S*) ips=(\S*) pid=(\d+) cgroup=(\S*)/.exec(line) ?? [];
  assert.equal(ips, status?.network?.ip);
  const { ino } = await stat(network ?? '');
  assert.equal(await readlink(`/proc/${pid}/ns/net`), `net:[${ino}]`);
  assert.match(await readFile(`/proc/${pid}/cmdline`, 'utf8'), /pause/);
  assert.match(await readFile(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`${cgroup}$`, 'm'));
});

test('one process may be several Go plugins, and each is asked in its place', {
  skip,
}, async (t) => {
  await connectJudge(t, 'many', '30,70');
  assert.deepEqual(await stack.pluginNames(), [
    '30-many',
    '40-launched-judge',
    '50-ulimit-adjuster',
    '70-many',
  ]);
});

test("NRI's own ulimit-adjuster of the old protocol sets limits", { skip }, async (t) => {
  const annotations = {
    'ulimits.nri.containerd.io/container.main': '[{type: memlock, hard: 987654, soft: 65536}]',
  };
  const pod = await runPod(stack, podConfig(stack, 'ulimit', { annotations }));
  t.after(() => removePod(stack, pod.podSandboxId));
  const id = await startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  assert.match(
    await sh(id, 'grep "locked memory" /proc/$(pidof sleep)/limits'),
    /\b65536 +987654\b/,
  );
});

for (const event of ['RunPodSandbox', 'CreateContainer']) {
  test(`the words of a Go plugin that refuses ${event} reach the client`, { skip }, async (t) => {
    const annotations = { 'judge/refuse': event };
    const config = podConfig(stack, `refuse-${event.toLowerCase()}`, { annotations });
    const attempt = async (): Promise<void> => {
      const pod = await runPod(stack, config);
      t.after(() => removePod(stack, pod.podSandboxId));
      await startContainer(stack, pod, shellContainer('main', 'true'));
    };
    const words = new RegExp(`plugin "40-launched-judge" refused ${event}: .*told to refuse`);
    await assert.rejects(attempt(), words);
  });
}

test('a Go validator and the required plugins of a pod decide over a container', {
  skip,
}, async (t) => {
  const attempt = async (name: string, annotations: Record<string, string>): Promise<void> => {
    const pod = await runPod(stack, podConfig(stack, name, { annotations }));
    t.after(() => removePod(stack, pod.podSandboxId));
    await startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  };
  await assert.rejects(attempt('validate', { 'judge/refuse': 'Validate' }), /told to reject/);
  const key = 'required-plugins.noderesource.dev/pod';
  await assert.rejects(
    attempt('required', { [key]: '[launched-judge, absent]' }),
    /required plugins are missing: absent/,
  );
  await attempt('present', { [key]: '- launched-judge\n- ulimit-adjuster\n' });
});

test('a Go plugin that connects late learns what is there; one that is killed is forgotten', {
  skip,
}, async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'late'));
  t.after(() => removePod(stack, pod.podSandboxId));
  await startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  const { log, child } = await connectJudge(t, 'late', '60');
  assert.match(await readFile(log, 'utf8'), /^Synchronize-1-1 /m);
  child.kill('SIGSTOP');
  // It hangs: the request goes on without it.
  await startContainer(stack, pod, shellContainer('second', 'exec sleep 1000'));
  const { plugins } = JSON.parse(await stack.gantryOk('nri', 'plugins', '-o', 'json')) as {
    plugins: { name: string; state: string; lastError: string }[];
  };
  const late = plugins.find(({ name }) => name === 'late');
  assert.equal(late?.state, 'gone');
  assert.match(late.lastError, /^CreateContainer: no answer within 2000 ms/);
});

/** As a kubelet does it on a host that is busy. */
async function patiently(request: () => Promise<unknown>): Promise<void> {
  const attempt = () =>
    request().then(
      () => true,
      (error: unknown) => {
        if (!isKind(error, 'unavailable')) {
          throw error;
        }
        return false;
      },
    );
  await until('answer', attempt, (isDone) => isDone);
}

test('a broker that is killed starts its Go plugins again, and they learn what is there', {
  skip,
}, async (t) => {
  const pod = await runPod(stack, podConfig(stack, 'again'));
  t.after(() => removePod(stack, pod.podSandboxId));
  await startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  killServices(stack, 'nri-broker');
  // A request at once: it waits for the broker and its plugins; where that takes too long it is made again.
  await patiently(() => startContainer(stack, pod, shellContainer('next', 'exec sleep 1000')));
  const log = await readFile(launchedLog, 'utf8');
  assert.match(log.slice(log.lastIndexOf('Configure-')), /^Synchronize-1-1 /m);
  assert.equal(
    (await linesOf(launchedLog, 'again')).filter((e) => e === 'CreateContainer next').length,
    1,
  );
});
