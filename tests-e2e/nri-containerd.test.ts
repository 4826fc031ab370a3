/*
 * Plugins of the kit do the same under containerd. Not part of the usual runs:
 * GANTRY_E2E_CONTAINERD has to name a containerd that has NRI.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execPath } from 'node:process';
import { after, before, test } from 'node:test';
import { definePlugin, type RunningPlugin, runPlugin } from '@gantry/nri';
import { type NriStack, startNriStack } from './harness/nri.ts';
import { type Containerd, containerdWithNri, startContainerd } from './harness/nri-containerd.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import type { Stack } from './harness/stack.ts';
import { until } from './harness/until.ts';

const skip =
  containerdWithNri === undefined
    ? 'GANTRY_E2E_CONTAINERD names no directory with a containerd that has NRI'
    : false;
const examples = join(dirname(import.meta.dirname), 'examples/nri-plugins/src');

let gantry: NriStack;
let containerd: Containerd;

before(async () => {
  if (skip === false) {
    const times = 'plugin_registration_timeout_ms = 60000\nplugin_request_timeout_ms = 20000\n';
    const own = await mkdtemp(join(runDir(), 'nri-'));
    await installExamples({
      pluginDir: join(own, 'plugins'),
      pluginConfigDir: join(own, 'conf.d'),
    });
    gantry = await startNriStack(own, times);
    containerd = await startContainerd(
      await mkdtemp(join(runDir(), 'nri-')),
      gantry,
      installExamples,
    );
  }
});
after(async () => {
  if (skip === false) {
    await containerd[Symbol.asyncDispose]();
    await gantry[Symbol.asyncDispose]();
  }
});

/** Both start the three examples themselves. */
async function installExamples(dirs: {
  readonly pluginDir: string;
  readonly pluginConfigDir: string;
}): Promise<void> {
  await mkdir(dirs.pluginDir, { recursive: true });
  await mkdir(dirs.pluginConfigDir, { recursive: true });
  for (const name of ['10-device-injector', '20-cpu-pinner', '99-auditor']) {
    const path = join(dirs.pluginDir, name);
    await writeFile(path, `#!/bin/sh\nexec ${execPath} ${join(examples, `${name.slice(3)}.ts`)}\n`);
    await chmod(path, 0o755);
  }
  await writeFile(join(dirs.pluginConfigDir, '99-auditor.conf'), auditOf(dirs));
}

const auditOf = ({ pluginDir }: { readonly pluginDir: string }): string =>
  join(dirname(pluginDir), 'audit.jsonl');

/** Fields that a message has, also those within. */
function fieldsOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) {
    return [path];
  }
  if (Array.isArray(value)) {
    return value.length === 0 ? [] : [path];
  }
  return Object.entries(value)
    .filter(([name, member]) => !name.startsWith('$') && !isNothing(member))
    .flatMap(([name, member]) =>
      /^(labels|annotations)$/.test(name)
        ? [`${path}.${name}`]
        : fieldsOf(member, `${path}.${name}`),
    );
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === '' || value === 0 || value === 0n || value === false;
}

interface Seen {
  readonly audit: readonly string[];
  readonly fields: Readonly<Record<string, readonly string[]>>;
  readonly inside: string;
  readonly refusal: string;
}

/** What plugins and containers see in the life of one pod. */
async function live(stack: NriStack | Containerd): Promise<Seen> {
  const fields: Record<string, readonly string[]> = {};
  const recorder = definePlugin({
    name: 'recorder',
    index: 90,
    runPodSandbox: (pod) => {
      fields['pod'] = fieldsOf(pod).toSorted();
    },
    createContainer: (_, container) => {
      fields['create'] = fieldsOf(container).toSorted();
      return { env: { RECORDED: container.name } };
    },
    postStartContainer: (_, container) => {
      fields['started'] = fieldsOf(container).toSorted();
    },
    stopContainer: (_, container) => {
      fields['stopped'] = fieldsOf(container).toSorted();
    },
  });
  const ready = Promise.withResolvers<void>();
  const running: RunningPlugin = runPlugin(
    { ...recorder, handlers: { ...recorder.handlers, synchronize: () => ready.resolve() } },
    { socket: stack.nriSocket, environment: {} },
  );
  try {
    await ready.promise;
    const linux = { cgroupParent: `${gantry.cgroupParent}/nri` };
    const annotations = {
      'pin.example.com/cpus': '0',
      'inject.example.com/devices.main': '/dev/full',
    };
    const pod = await runPod(stack, podConfig(stack, 'both', { annotations, linux }));
    const config = shellContainer('main', 'exec sleep 1000');
    const containerId = await startContainer(stack, pod, config);
    const script =
      'echo "$RECORDED"; echo x > /dev/full; grep Cpus_allowed_list /proc/$(pidof sleep)/status';
    const cmd = ['/bin/sh', '-c', script];
    const { stdout, stderr } = await stack.runtime.execSync({ containerId, cmd, timeout: 10n });
    await stack.runtime.stopContainer({ containerId, timeout: 0n });
    await until(
      'told',
      () => Promise.resolve(fields),
      (now) => 'stopped' in now,
    );
    await stack.runtime.removeContainer({ containerId });
    await removePod(stack, pod.podSandboxId);
    const refusal = await refusedBy(stack, linux);
    return {
      audit: await auditLines(auditOf(stack)),
      fields,
      inside: Buffer.from(stdout).toString() + Buffer.from(stderr).toString(),
      refusal,
    };
  } finally {
    await running[Symbol.asyncDispose]();
  }
}

async function refusedBy(stack: Stack, linux: { readonly cgroupParent: string }): Promise<string> {
  const annotations = { 'pin.example.com/cpus': 'all' };
  const wrong = await runPod(stack, podConfig(stack, 'wrong', { annotations, linux }));
  try {
    await startContainer(stack, wrong, shellContainer('c', 'true'));
    return 'nothing';
  } catch (error) {
    return /annotation .*/.exec(String(error))?.[0] ?? String(error);
  } finally {
    await removePod(stack, wrong.podSandboxId);
  }
}

async function auditLines(file: string): Promise<readonly string[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter(Boolean);
  return lines
    .map((line) => JSON.parse(line) as { event: string; pod: { name: string } })
    .filter(({ pod }) => pod.name === 'both')
    .map(({ event }) => event);
}

test('the examples do and see the same under Gantry and containerd', { skip }, async () => {
  const ours = await live(gantry);
  const theirs = await live(containerd);
  assert.equal(ours.inside, theirs.inside);
  assert.equal(ours.refusal, theirs.refusal);
  assert.deepEqual(ours.audit, theirs.audit);
  // Gantry may show more, such as the limits of resources.
  for (const [event, shown] of Object.entries(theirs.fields)) {
    assert.ok(shown.length > 10, `${event}: ${shown.join(' ')}`);
    assert.deepEqual(
      shown.filter((field) => !ours.fields[event]?.includes(field)),
      [],
      event,
    );
  }
});
