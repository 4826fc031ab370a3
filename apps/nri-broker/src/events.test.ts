import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { definePlugin } from '@gantry/nri';
import {
  Event,
  LinuxResourcesSchema,
  SecurityProfile_ProfileType as ProfileType,
} from '@gantry/proto/nri';
import { container, FakeHost, pod, startTestBroker } from './testing.ts';

test('plugins are asked in the order of their index; those with the same as they came', async (t) => {
  const broker = await startTestBroker(t);
  const order: string[] = [];
  const asked = (name: string, index: number) =>
    definePlugin({
      name,
      index,
      runPodSandbox: () => {
        order.push(name);
      },
    });
  for (const [name, index] of [
    ['late', 90],
    ['first', 5],
    ['same-1', 50],
    ['same-2', 50],
  ] as const) {
    await broker.run(asked(name, index));
  }
  await broker.dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('p') });
  assert.deepEqual(order, ['first', 'same-1', 'same-2', 'late']);
});

test('plugins are told only of what they have subscribed to', async (t) => {
  const broker = await startTestBroker(t);
  let runs = 0;
  await broker.run(
    definePlugin({
      name: 'one',
      index: 1,
      runPodSandbox: () => {
        runs++;
      },
    }),
  );
  await broker.dispatcher.adjustContainer(pod('p'), container('c'));
  await broker.dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('p') });
  const [plugin] = broker.dispatcher.plugins;
  assert.deepEqual([plugin?.stats.calls, runs], [1, 1]);
});

test('the second plugin sees what the first has changed; nobody changes what was asked', async (t) => {
  const broker = await startTestBroker(t);
  await broker.run(
    definePlugin({ name: 'a', index: 1, createContainer: () => ({ env: { A: '1', DROP: null } }) }),
  );
  let seen: readonly string[] = [];
  await broker.run(
    definePlugin({
      name: 'b',
      index: 2,
      createContainer: (_, { env }) => {
        seen = env;
      },
    }),
  );
  const asked = container('c', { env: ['DROP=1', 'KEEP=1'] });
  const { adjust } = await broker.dispatcher.adjustContainer(pod('p'), asked);
  assert.deepEqual(seen, ['KEEP=1', 'A=1']);
  assert.deepEqual(asked.env, ['DROP=1', 'KEEP=1']);
  assert.deepEqual(
    adjust?.env.map(({ key }) => key),
    ['-DROP', 'A'],
  );
});

test('a refusal stops the others from being asked; of what can not be refused they are told', async (t) => {
  const broker = await startTestBroker(t);
  const told: string[] = [];
  const no = (): never => {
    throw new Error('no');
  };
  await broker.run(
    definePlugin({
      name: 'no',
      index: 1,
      runPodSandbox: no,
      createContainer: no,
      startContainer: no,
      updateContainer: no,
      updatePodSandbox: no,
      postStartContainer: no,
      stopContainer: no,
      removePodSandbox: no,
    }),
  );
  const note = (event: string) => () => {
    told.push(event);
    return undefined;
  };
  await broker.run(
    definePlugin({
      name: 'yes',
      index: 2,
      runPodSandbox: note('run'),
      createContainer: note('create'),
      startContainer: note('start'),
      updateContainer: note('update'),
      updatePodSandbox: note('update-pod'),
      postStartContainer: note('post-start'),
      stopContainer: note('stop'),
      removePodSandbox: note('remove-pod'),
    }),
  );
  const { dispatcher } = broker;
  const subject = { pod: pod('p'), container: container('c') };
  const refused = (words: string) => ({
    kind: 'failed-precondition',
    message: `plugin "01-no" refused ${words}`,
  });
  await assert.rejects(
    dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('p') }),
    refused('RunPodSandbox'),
  );
  await assert.rejects(
    dispatcher.adjustContainer(pod('p'), container('c')),
    refused('CreateContainer'),
  );
  await assert.rejects(
    dispatcher.notify(Event.START_CONTAINER, subject),
    refused('StartContainer'),
  );
  await assert.rejects(
    dispatcher.notify(Event.UPDATE_POD_SANDBOX, { pod: pod('p') }),
    refused('UpdatePodSandbox'),
  );
  const limits = create(LinuxResourcesSchema);
  await assert.rejects(
    dispatcher.adjustUpdate(pod('p'), container('c'), limits),
    refused('UpdateContainer'),
  );
  assert.deepEqual(told, []);
  await dispatcher.notify(Event.POST_START_CONTAINER, subject);
  // They were told of both, though it came to nothing.
  await dispatcher.notify(Event.STOP_CONTAINER, subject);
  await dispatcher.notify(Event.REMOVE_POD_SANDBOX, { pod: pod('p') });
  assert.deepEqual(told, ['post-start', 'stop', 'remove-pod']);
  assert.equal(dispatcher.count, 2);
});

test('a removal of what has not stopped tells of the stop first; of the unknown nothing is told', async (t) => {
  const broker = await startTestBroker(t);
  const told: string[] = [];
  await broker.run(
    definePlugin({
      name: 'watch',
      index: 1,
      stopPodSandbox: () => {
        told.push('stop-pod');
      },
      removePodSandbox: () => {
        told.push('remove-pod');
      },
      stopContainer: () => {
        told.push('stop');
      },
      removeContainer: () => {
        told.push('remove');
      },
    }),
  );
  const { dispatcher } = broker;
  const stranger = { pod: pod('x'), container: container('x1') };
  await dispatcher.notify(Event.STOP_CONTAINER, stranger);
  await dispatcher.notify(Event.REMOVE_CONTAINER, stranger);
  await dispatcher.notify(Event.REMOVE_POD_SANDBOX, { pod: pod('x') });
  assert.deepEqual(told, []);
  await dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('p') });
  await dispatcher.adjustContainer(pod('p'), container('c'));
  await dispatcher.notify(Event.REMOVE_CONTAINER, { pod: pod('p'), container: container('c') });
  await dispatcher.notify(Event.REMOVE_POD_SANDBOX, { pod: pod('p') });
  assert.deepEqual(told, ['stop', 'remove', 'stop-pod', 'remove-pod']);
});

test('what is in the making is part of a synchronisation; what has stopped is not, and its end is told', async (t) => {
  const host = new FakeHost();
  host.pods = [pod('p')];
  host.containers = [container('running')];
  host.stopping = ['exited'];
  host.stopped = ['told'];
  const broker = await startTestBroker(t, {}, host);
  const { dispatcher } = broker;
  await dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('new') });
  await dispatcher.adjustContainer(pod('new'), container('making'));
  let synced: string[] = [];
  const told: string[] = [];
  await broker.run(
    definePlugin({
      name: 'sync',
      index: 1,
      synchronize: (pods, containers) => {
        synced = [...pods, ...containers].map(({ id }) => id).sort();
      },
      stopContainer: (_, { id }) => {
        told.push(`stop ${id}`);
      },
      removeContainer: (_, { id }) => {
        told.push(`remove ${id}`);
      },
    }),
  );
  assert.deepEqual(synced, ['making', 'new', 'p', 'running']);
  for (const id of ['exited', 'told']) {
    const subject = { pod: pod('p'), container: container(id) };
    await dispatcher.notify(Event.STOP_CONTAINER, subject);
    await dispatcher.notify(Event.REMOVE_CONTAINER, subject);
  }
  assert.deepEqual(told, ['stop exited', 'remove exited', 'remove told']);
});

test('a validator decides over what all want together, and one that fails refuses', async (t) => {
  const broker = await startTestBroker(t);
  await broker.run(
    definePlugin({ name: 'setter', index: 1, createContainer: () => ({ env: { SET: '1' } }) }),
  );
  let verdict: () => string | undefined = () => undefined;
  let owners = '';
  await broker.run(
    definePlugin({
      name: 'judge',
      index: 2,
      validateContainerAdjustment: (request) => {
        owners = JSON.stringify(request.owners?.owners['c']?.compound);
        return verdict();
      },
    }),
  );
  const adjust = () => broker.dispatcher.adjustContainer(pod('p'), container('c'));
  await adjust();
  assert.match(owners, /"SET":"01-setter"/);
  verdict = () => 'too much';
  await assert.rejects(adjust(), { message: /validator "02-judge" rejected .*: too much/ });
  verdict = () => {
    throw new Error('broken');
  };
  await assert.rejects(adjust(), { message: /validator "02-judge" failed: broken/ });
});

test('the rules of the config decide, where they are enabled', async (t) => {
  const rules = {
    enabled: true,
    reject_oci_hook_adjustment: true,
    reject_runtime_default_seccomp_adjustment: true,
    reject_unconfined_seccomp_adjustment: true,
    reject_custom_seccomp_adjustment: false,
    reject_namespace_adjustment: true,
    reject_sysctl_adjustment: true,
    required_plugins: ['setter'],
    tolerate_missing_plugins_annotation: 'example.com/tolerate',
  };
  const broker = await startTestBroker(t, { default_validator: rules });
  const adjust = (
    id: string,
    annotations: Record<string, string> = {},
    profileType: ProfileType = ProfileType.UNCONFINED,
  ) =>
    broker.dispatcher.adjustContainer(
      pod('p', { annotations }),
      container(id, { linux: { seccompProfile: { profileType } } }),
    );
  await assert.rejects(adjust('plain'), { message: /required plugins are missing: setter/ });
  await adjust('plain', { 'example.com/tolerate': 'true' });
  const key = 'required-plugins.noderesource.dev';
  await assert.rejects(
    adjust('plain', { 'example.com/tolerate': 'true', [`${key}/container.plain`]: '["other"]' }),
    { message: /missing: other/ },
  );
  await assert.rejects(adjust('plain', { [key]: '{not: a list}' }), { message: /must be a list/ });
  await broker.run(
    definePlugin({
      name: 'setter',
      index: 1,
      createContainer: (_, { id }) =>
        ({
          hook: { hooks: { poststop: [{ path: '/x' }] } },
          namespace: { raw: { linux: { namespaces: [{ type: 'ipc' }] } } },
          sysctl: { sysctl: { 'kernel.x': '1' } },
          seccomp: { raw: { linux: { seccompPolicy: { defaultAction: 'SCMP_ACT_ALLOW' } } } },
        })[id],
    }),
  );
  await adjust('plain');
  await assert.rejects(adjust('hook'), { message: /01-setter added OCI hooks/ });
  await assert.rejects(adjust('namespace'), { message: /01-setter changed namespaces/ });
  await assert.rejects(adjust('sysctl'), { message: /01-setter changed sysctls/ });
  await assert.rejects(adjust('seccomp', {}, ProfileType.RUNTIME_DEFAULT), {
    message: /changed the default seccomp/,
  });
  await assert.rejects(adjust('seccomp', {}, ProfileType.UNCONFINED), {
    message: /unconfined container/,
  });
  await adjust('seccomp', {}, ProfileType.LOCALHOST);
});

test('a synchronisation above the limit of a message comes in parts', async (t) => {
  const host = new FakeHost();
  host.pods = [pod('p')];
  host.containers = Array.from({ length: 60 }, (_, i) =>
    container(`c${i}`, { args: ['x'.repeat(150_000)] }),
  );
  const broker = await startTestBroker(t, { plugin_sync_timeout_ms: 10_000 }, host);
  let synced = 0;
  await broker.run(
    definePlugin({
      name: 'many',
      index: 1,
      synchronize: (_, containers) => {
        synced = new Set(containers.map(({ id }) => id)).size;
      },
      runPodSandbox: () => undefined,
    }),
  );
  assert.equal(synced, 60);
});

test('a plugin may ask for updates from within a handler', async (t) => {
  const broker = await startTestBroker(t);
  const plugin = await broker.run(
    definePlugin({
      name: 'nested',
      index: 1,
      createContainer: async () => {
        await plugin.update([{ containerId: 'other', limits: { cpus: '0' } }]);
        return { env: { DONE: '1' } };
      },
    }),
  );
  const { adjust } = await broker.dispatcher.adjustContainer(pod('p'), container('c'));
  assert.equal(adjust?.env.length, 1);
  assert.equal(broker.host.asked[0]?.update[0]?.containerId, 'other');
});

test('a caller that leaves while another event is on asks nobody', async (t) => {
  const broker = await startTestBroker(t);
  const gate = Promise.withResolvers<void>();
  const asked: string[] = [];
  await broker.run(
    definePlugin({
      name: 'slow',
      index: 1,
      runPodSandbox: async ({ id }) => {
        asked.push(id);
        await gate.promise;
      },
    }),
  );
  const first = broker.dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('a') });
  const left = new AbortController();
  const second = broker.dispatcher.notify(Event.RUN_POD_SANDBOX, { pod: pod('b') }, left.signal);
  left.abort();
  gate.resolve();
  await first;
  await assert.rejects(second, { name: 'AbortError' });
  assert.deepEqual(asked, ['a']);
});
