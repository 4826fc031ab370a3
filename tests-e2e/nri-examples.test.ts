/*
 * The example plugins, as an operator would run them.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execPath } from 'node:process';
import { after, before, test } from 'node:test';
import { auditor } from '@gantry/example-nri-plugins';
import { type NriStack, startNriStack, unhurried } from './harness/nri.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { killServices } from './harness/services.ts';
import { until } from './harness/until.ts';

const examples = join(dirname(import.meta.dirname), 'examples/nri-plugins/src');

let stack: NriStack;
let dir: string;

before(async () => {
  dir = await mkdtemp(join(runDir(), 'nri-'));
  const plugins = join(dir, 'plugins');
  await mkdir(plugins);
  await mkdir(join(dir, 'conf.d'));
  for (const name of ['10-device-injector', '20-cpu-pinner', '99-auditor']) {
    const path = join(plugins, name);
    const program = join(examples, `${name.slice(3)}.ts`);
    await writeFile(path, `#!/bin/sh\nexec ${execPath} ${program}\n`);
    await chmod(path, 0o755);
  }
  await writeFile(join(dir, 'conf.d', '99-auditor.conf'), join(dir, 'audit.jsonl'));
  stack = await startNriStack(dir, unhurried);
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

interface Line {
  readonly event: string;
  readonly pod: { readonly name: string };
  readonly container?: { readonly name: string };
}

const audited = async (file: string, pod: string): Promise<string[]> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => line.pod.name === pod)
    .map(({ event, container }) =>
      container === undefined ? event : `${event} ${container.name}`,
    );
};

const sh = async (containerId: string, script: string): Promise<string> => {
  const cmd = ['/bin/sh', '-c', script];
  const { stdout, stderr } = await stack.runtime.execSync({ containerId, cmd, timeout: 10n });
  return Buffer.from(stdout).toString() + Buffer.from(stderr).toString();
};

test('the runtime starts all three, and they do what annotations say', async (t) => {
  assert.deepEqual(await stack.pluginNames(), [
    '10-device-injector',
    '20-cpu-pinner',
    '99-auditor',
  ]);
  const annotations = {
    'pin.example.com/cpus': '0',
    'pin.example.com/cpus.other': '0-1',
    'inject.example.com/devices.main': '/dev/full',
  };
  const pod = await runPod(stack, podConfig(stack, 'examples', { annotations }));
  const main = await startContainer(stack, pod, shellContainer('main', 'exec sleep 1000'));
  const allowed = 'grep Cpus_allowed_list /proc/$(pidof sleep)/status';
  assert.match(await sh(main, allowed), /:\t0$/m);
  assert.match(await sh(main, 'echo x > /dev/full'), /No space left/);
  const other = await startContainer(stack, pod, shellContainer('other', 'exec tail -f /dev/null'));
  assert.match(await sh(other, allowed.replace('sleep', 'tail')), /:\t0-1$/m);
  // One by one: together they end in any order.
  for (const containerId of [main, other]) {
    await stack.runtime.stopContainer({ containerId, timeout: 0n });
    await stack.runtime.removeContainer({ containerId });
  }
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(await audited(join(dir, 'audit.jsonl'), 'examples'), [
    'pod-run',
    'container-created main',
    'container-started main',
    'container-created other',
    'container-started other',
    'container-stopped main',
    'container-removed main',
    'container-stopped other',
    'container-removed other',
    'pod-stopped',
    'pod-removed',
  ]);

  const wrong = await runPod(
    stack,
    podConfig(stack, 'wrong', { annotations: { 'pin.example.com/cpus': 'all' } }),
  );
  t.after(() => removePod(stack, wrong.podSandboxId));
  await assert.rejects(
    startContainer(stack, wrong, shellContainer('c', 'true')),
    /"20-cpu-pinner" refused CreateContainer: .*"all" is not a list/,
  );
});

test('all services in one process ask plugins too', async (t) => {
  const own = await mkdtemp(join(runDir(), 'nri-'));
  const compact = await startNriStack(own, unhurried, { config: '[services]\ncompact = true\n' });
  t.after(() => compact[Symbol.asyncDispose]());
  const file = join(own, 'audit.jsonl');
  const plugin = await compact.plug(
    auditor((line) => {
      appendFileSync(file, line);
    }),
  );
  t.after(() => plugin[Symbol.asyncDispose]());
  const pod = await runPod(compact, podConfig(compact, 'compact'));
  await startContainer(compact, pod, shellContainer('main', 'exec sleep 1000'));
  await removePod(compact, pod.podSandboxId);
  assert.deepEqual(await audited(file, 'compact'), [
    'pod-run',
    'container-created main',
    'container-started main',
    'container-stopped main',
    'pod-stopped',
    'container-removed main',
    'pod-removed',
  ]);
});

test('one that an operator starts connects, and comes back after the broker', async (t) => {
  const file = join(dir, 'second.jsonl');
  // The place of plugins that nobody names another for is the host's own: the kit is told by its caller.
  const program = `
    import { runPlugin } from '@gantry/nri';
    import { auditor } from '${join(examples, 'auditor.ts')}';
    import { appendFileSync } from 'node:fs';
    await runPlugin(auditor((line) => appendFileSync('${file}', line)), {
      socket: '${stack.nriSocket}',
    }).done;`;
  const child = spawn(execPath, ['--input-type=module', '-e', program], {
    stdio: 'ignore',
    cwd: examples,
  });
  t.after(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  const auditors = async () =>
    (await stack.pluginNames()).filter((name) => name === '99-auditor').length;
  await until('connected', auditors, (count) => count === 2, 60_000);
  killServices(stack, 'nri-broker');
  await until('connected again', auditors, (count) => count === 2, 60_000);
  const pod = await runPod(stack, podConfig(stack, 'second'));
  t.after(() => removePod(stack, pod.podSandboxId));
  assert.deepEqual(await audited(file, 'second'), ['pod-run']);
});
