import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DefinedPlugin, definePlugin, type RunningPlugin } from '@gantry/nri';
import { type NriStack, startNriStack, unhurried } from './harness/nri.ts';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { runDir } from './harness/run-dir.ts';
import { until } from './harness/until.ts';

let stack: NriStack;
let dir: string;

before(async () => {
  dir = await mkdtemp(join(runDir(), 'nri-'));
  const cdi = join(dir, 'cdi');
  await mkdir(cdi);
  stack = await startNriStack(dir, unhurried, { pods: () => `cdi_spec_dirs = ["${cdi}"]` });
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

async function plug(t: TestContext, plugin: DefinedPlugin): Promise<RunningPlugin> {
  const running = await stack.plug(plugin);
  t.after(async () => {
    await running[Symbol.asyncDispose]();
    const name = `${plugin.index}-${plugin.name}`;
    await until('plugin gone', stack.pluginNames, (names) => !names.includes(name));
  });
  return running;
}

const sh = async (containerId: string, script: string): Promise<string> => {
  const cmd = ['/bin/sh', '-c', script];
  const { stdout, stderr } = await stack.runtime.execSync({ containerId, cmd, timeout: 10n });
  return Buffer.from(stdout).toString() + Buffer.from(stderr).toString();
};

test('what a plugin wants is inside the container', async (t) => {
  const injected = join(dir, 'injected.txt');
  const hookLog = join(dir, 'hook.txt');
  await writeFile(injected, 'from the plugin\n');
  const cdi = {
    cdiVersion: '0.6.0',
    kind: 'example.com/thing',
    devices: [{ name: 'one', containerEdits: { env: ['FROM_CDI=yes'] } }],
  };
  await writeFile(join(dir, 'cdi', 'thing.json'), JSON.stringify(cdi));
  await plug(
    t,
    definePlugin({
      name: 'injector',
      index: 10,
      createContainer: (pod, container) =>
        pod.name === 'inject'
          ? {
              env: { ADDED: `for ${container.name}`, COLOUR: 'red', DROPPED: null },
              mounts: { '/injected': { source: injected } },
              devices: [{ path: '/dev/zero2', type: 'c', major: 1, minor: 5, mode: 0o666 }],
              rlimits: { RLIMIT_NOFILE: { soft: 123, hard: 456 } },
              hooks: {
                createRuntime: [
                  { path: '/bin/sh', args: ['sh', '-c', `cat > ${hookLog}`], timeoutSeconds: 5 },
                ],
              },
              limits: { memoryBytes: 48 << 20, pids: 55 },
              oomScoreAdj: 500,
              annotations: { 'example.com/by': 'injector' },
              cdiDevices: ['example.com/thing=one'],
            }
          : undefined,
    }),
  );
  const pod = await runPod(stack, podConfig(stack, 'inject'));
  t.after(() => removePod(stack, pod.podSandboxId));
  const containerId = await startContainer(
    stack,
    pod,
    shellContainer('main', 'exec sleep 1000', {
      envs: [
        { key: 'COLOUR', value: Buffer.from('blue') },
        { key: 'DROPPED', value: Buffer.from('x') },
      ],
    }),
  );
  assert.equal(await sh(containerId, 'echo $ADDED/$COLOUR/$DROPPED'), 'for main/red/\n');
  assert.equal(await sh(containerId, 'echo $FROM_CDI'), 'yes\n');
  assert.equal(await sh(containerId, 'cat /injected'), 'from the plugin\n');
  assert.equal(await sh(containerId, 'head -c 3 /dev/zero2 | wc -c'), '3\n');
  assert.match(
    await sh(containerId, 'grep "open files" /proc/$(pidof sleep)/limits'),
    /\b123 +456\b/,
  );
  assert.equal(await sh(containerId, 'cat /proc/$(pidof sleep)/oom_score_adj'), '500\n');
  const state = JSON.parse(await readFile(hookLog, 'utf8')) as { id: string };
  assert.equal(state.id, containerId);
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.equal(status?.resources?.linux?.memoryLimitInBytes, BigInt(48 << 20));

  const owners = await stack.gantryOk('nri', 'owners', containerId);
  assert.match(owners, /^Env +ADDED +10-injector +set$/m);
  assert.match(owners, /^Env +DROPPED +10-injector +removed$/m);
  assert.match(owners, /^Mounts +\/injected +10-injector +set$/m);
  assert.match(await stack.gantryOk('nri'), /^10-injector +external +ready/m);
  assert.match(await stack.gantryOk('nri', 'plugins'), /^10-injector +external +ready +[1-9]/m);
  assert.match(await stack.gantryOk('trace', 'CreateContainer'), /nri 10-injector CreateContainer/);
  const metrics = await (await fetch(`${stack.adminUrl}/metrics`)).text();
  assert.match(
    metrics,
    /^gantry_nri_plugin_calls_total\{plugin="10-injector",event="CreateContainer",result="ok".*\} 1$/m,
  );
});

test('every event comes once, in order, with what it is about', async (t) => {
  const seen: string[] = [];
  const note = (event: string) => (pod: { name: string }, container?: { name: string }) => {
    if (pod.name === 'life') {
      seen.push(container === undefined ? event : `${event} ${container.name}`);
    }
  };
  const podSeen = { ips: [] as readonly string[], netns: '', uid: '' };
  await plug(
    t,
    definePlugin({
      name: 'watcher',
      index: 20,
      runPodSandbox: (pod) => {
        note('run')(pod);
        const netns = pod.linux?.namespaces.find(({ type }) => type === 'network')?.path ?? '';
        Object.assign(podSeen, { ips: pod.ips, netns, uid: pod.uid });
      },
      updatePodSandbox: (pod) => {
        note('update-pod')(pod);
      },
      postUpdatePodSandbox: note('post-update-pod'),
      stopPodSandbox: note('stop-pod'),
      removePodSandbox: note('remove-pod'),
      createContainer: (pod, container) => {
        note('create')(pod, container);
        return undefined;
      },
      postCreateContainer: note('post-create'),
      startContainer: note('start'),
      postStartContainer: note('post-start'),
      updateContainer: (pod, container) => {
        note('update')(pod, container);
        return undefined;
      },
      postUpdateContainer: note('post-update'),
      stopContainer: (pod, container) => {
        note('stop')(pod, container);
        return undefined;
      },
      removeContainer: note('remove'),
    }),
  );
  const config = podConfig(stack, 'life');
  const pod = await runPod(stack, config);
  const { podSandboxId } = pod;
  assert.equal(podSeen.uid, config.metadata?.uid);
  assert.ok(podSeen.ips[0]?.startsWith(stack.addressPrefix));
  assert.notEqual(podSeen.netns, '');
  await stack.runtime.updatePodSandboxResources({ podSandboxId, resources: { cpuShares: 100n } });
  const containerId = await startContainer(stack, pod, shellContainer('a', 'exec sleep 1000'));
  await stack.runtime.updateContainerResources({ containerId, linux: { cpuShares: 300n } });
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  const short = await startContainer(stack, pod, shellContainer('b', 'exit 3'));
  await until(
    'exit',
    () => Promise.resolve(seen),
    (now) => now.includes('stop b'),
  );
  await stack.runtime.removeContainer({ containerId: short });
  await stack.runtime.stopPodSandbox({ podSandboxId });
  await stack.runtime.stopPodSandbox({ podSandboxId });
  await stack.runtime.removePodSandbox({ podSandboxId });
  const expected = [
    ...['run', 'update-pod', 'post-update-pod', 'create a', 'post-create a', 'start a'],
    ...['post-start a', 'update a', 'post-update a', 'stop a', 'create b', 'post-create b'],
    ...['start b', 'post-start b', 'stop b', 'remove b', 'stop-pod', 'remove a', 'remove-pod'],
  ];
  // Whether its start or its end is told first is up to a container that ends at once.
  const sorted = (list: readonly string[]) => list.filter((e) => e !== 'post-start b');
  assert.deepEqual(sorted(seen), sorted(expected));
});

test('two plugins that set one field are refused, with both names, and all is undone', async (t) => {
  const gone: string[] = [];
  const setter = (name: string, index: number) =>
    definePlugin({
      name,
      index,
      createContainer: (pod) => (pod.name === 'clash' ? { env: { SAME: name } } : undefined),
      stopContainer: (_, { id }) => {
        gone.push(`${name} stop ${id.slice(0, 4)}`);
        return undefined;
      },
      removeContainer: (_, { id }) => {
        gone.push(`${name} remove ${id.slice(0, 4)}`);
      },
    });
  await plug(t, setter('one', 30));
  await plug(t, setter('two', 40));
  const pod = await runPod(stack, podConfig(stack, 'clash'));
  t.after(() => removePod(stack, pod.podSandboxId));
  await assert.rejects(
    startContainer(stack, pod, shellContainer('c', 'exec sleep 1000')),
    /plugins "40-two" and "30-one" both tried to set Env \[SAME\]/,
  );
  const { containers } = await stack.runtime.listContainers({
    filter: { podSandboxId: pod.podSandboxId },
  });
  assert.deepEqual(containers, []);
  assert.deepEqual(
    gone.map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['one stop', 'two stop', 'one remove', 'two remove'],
  );
});

test('a plugin that refuses a pod or a start fails that, and a retry works', async (t) => {
  let refuse = true;
  await plug(
    t,
    definePlugin({
      name: 'guard',
      index: 50,
      runPodSandbox: (pod) => {
        if (pod.name === 'guarded' && refuse) {
          throw new Error('not today');
        }
      },
      startContainer: (_, { name }) => {
        if (name === 'never') {
          throw new Error('never');
        }
      },
    }),
  );
  const config = podConfig(stack, 'guarded');
  await assert.rejects(runPod(stack, config), /"50-guard" refused RunPodSandbox: not today/);
  const listed = await stack.runtime.listPodSandbox({
    filter: { labelSelector: {}, state: undefined, id: '' },
  });
  assert.equal(listed.items.filter(({ metadata }) => metadata?.name === 'guarded').length, 0);
  refuse = false;
  const pod = await runPod(stack, config);
  t.after(() => removePod(stack, pod.podSandboxId));
  await assert.rejects(
    startContainer(stack, pod, shellContainer('never', 'exec sleep 1000')),
    /"50-guard" refused StartContainer: never/,
  );
  await startContainer(stack, pod, shellContainer('fine', 'exec sleep 1000'));
});

test('while a plugin holds up a pod, lists and status answer and the pod is not there', async (t) => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<string>();
  await plug(
    t,
    definePlugin({
      name: 'slow',
      index: 60,
      runPodSandbox: async (pod) => {
        if (pod.name === 'held') {
          entered.resolve(pod.id);
          await gate.promise;
        }
      },
    }),
  );
  const running = runPod(stack, podConfig(stack, 'held'));
  const podSandboxId = await entered.promise;
  try {
    const { items } = await stack.runtime.listPodSandbox({});
    assert.equal(
      items.some(({ id }) => id === podSandboxId),
      false,
    );
    await stack.runtime.status({});
    await assert.rejects(
      stack.runtime.createContainer({
        podSandboxId,
        config: shellContainer('early', 'true'),
        sandboxConfig: podConfig(stack, 'held'),
      }),
    );
  } finally {
    gate.resolve();
  }
  const pod = await running;
  await removePod(stack, pod.podSandboxId);
});

test('a container in the making is not listed, and reaches a plugin that comes meanwhile', async (t) => {
  const gate = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<string>();
  await plug(
    t,
    definePlugin({
      name: 'holder',
      index: 61,
      createContainer: async (_, { id, name }) => {
        if (name === 'making') {
          entered.resolve(id);
          await gate.promise;
        }
        return undefined;
      },
    }),
  );
  const pod = await runPod(stack, podConfig(stack, 'making'));
  t.after(() => removePod(stack, pod.podSandboxId));
  const starting = startContainer(stack, pod, shellContainer('making', 'exec sleep 1000'));
  const id = await entered.promise;
  const { containers } = await stack.runtime.listContainers({});
  assert.equal(
    containers.some((container) => container.id === id),
    false,
  );
  const seen: string[] = [];
  const late = plug(
    t,
    definePlugin({
      name: 'late',
      index: 62,
      synchronize: async (_, found) => {
        seen.push(...found.map((container) => container.id));
        await sleep(2000);
      },
      createContainer: (_, container) => {
        seen.push(container.id);
        return undefined;
      },
    }),
  );
  gate.resolve();
  await starting;
  // Begun while the late one is being synchronised, or before, or after: never twice, never not at all.
  const next = await startContainer(stack, pod, shellContainer('next', 'exec sleep 1000'));
  await late;
  assert.deepEqual(
    [id, next].map((wanted) => seen.filter((one) => one === wanted).length),
    [1, 1],
  );
});
