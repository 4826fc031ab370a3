import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { kindOf } from '@gantry/errors';
import { type ContainerEventResponse, ContainerEventType } from '@gantry/proto';
import { podConfig, removePod, runPod, shellContainer, startContainer } from './harness/pod.ts';
import { killServices, pidsOf } from './harness/services.ts';
import { stackForTests } from './harness/stack-for-tests.ts';
import { until } from './harness/until.ts';

const stack = await stackForTests({ config: '[services]\nreplicas = { "sandbox-service" = 2 }' });

interface Client {
  readonly events: ContainerEventResponse[];
  /** Why the stream has ended. */
  end?: unknown;
}

/** A client that certainly listens: it has got an event of a pod made to that end. */
async function listen(t: TestContext): Promise<Client> {
  const client: Client = { events: [] };
  const leaving = new AbortController();
  t.after(() => {
    leaving.abort();
  });
  const read = async () => {
    for await (const event of stack.runtime.getContainerEvents({}, { signal: leaving.signal })) {
      client.events.push(event);
    }
  };
  read().catch((error: unknown) => {
    client.end = error;
  });
  await until(
    'a first event',
    async () => {
      const probe = await runPod(stack, podConfig(stack, 'probe'));
      await removePod(stack, probe.podSandboxId);
      return client.events.length;
    },
    (count) => count > 0,
  );
  return client;
}

/** By the values of ContainerEventType. */
const kinds = ['CREATED', 'STARTED', 'STOPPED', 'DELETED'] as const;
const uidIn = (event: ContainerEventResponse | undefined) => event?.podSandboxStatus?.metadata?.uid;
const about = (client: Client, ids: readonly string[]) =>
  client.events.filter((event) => ids.includes(event.containerId));

test('clients of all instances see the same life of a pod, in order', async (t) => {
  const clients = [await listen(t), await listen(t), await listen(t)];
  const pod = await runPod(stack, podConfig(stack, 'life'));
  const containerId = await startContainer(stack, pod, shellContainer('c', 'exit 5'));
  const of = (client: Client) => about(client, [pod.podSandboxId, containerId]);
  await until(
    'the exit',
    () => Promise.resolve(clients.map((client) => of(client).length)),
    (counts) => counts.every((count) => count >= 5),
  );
  await removePod(stack, pod.podSandboxId);
  for (const client of clients) {
    const events = await until(
      'the end',
      () => Promise.resolve(of(client)),
      (list) => list.length >= 8,
    );
    assert.deepEqual(
      events.map((event) => [
        event.containerId === pod.podSandboxId ? 'pod' : 'container',
        kinds[event.containerEventType],
      ]),
      [
        ['pod', 'CREATED'],
        ['pod', 'STARTED'],
        ['container', 'CREATED'],
        ['container', 'STARTED'],
        ['container', 'STOPPED'],
        ['pod', 'STOPPED'],
        ['container', 'DELETED'],
        ['pod', 'DELETED'],
      ],
    );
    const [first] = events;
    const stopped = events[4];
    assert.ok(first?.podSandboxStatus?.network?.ip.startsWith(stack.addressPrefix));
    assert.equal(stopped?.containersStatuses[0]?.exitCode, 5);
    assert.equal(uidIn(events.at(-1)), uidIn(first));
  }
});

test('an exit while no instance runs is told to a client that connects after the restart', async (t) => {
  const client = await listen(t);
  const pod = await runPod(stack, podConfig(stack, 'down'));
  const containerId = await startContainer(stack, pod, shellContainer('c', 'exec sleep 1000'));
  const { info } = await stack.runtime.containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info['info'] ?? '{}') as { pid: number };
  killServices(stack, 'sandbox-service');
  process.kill(pid, 'SIGKILL');
  await until(
    'the end of the stream',
    () => Promise.resolve(client.end),
    (end) => end !== undefined,
  );
  assert.equal(kindOf(client.end), 'unavailable');
  await until(
    'instances',
    () => Promise.resolve(pidsOf(stack, 'sandbox-service').length),
    (count) => count === 2,
    30_000,
  );
  const again: Client = { events: [] };
  const leaving = new AbortController();
  t.after(() => {
    leaving.abort();
  });
  const read = async () => {
    while (!leaving.signal.aborted) {
      try {
        for await (const event of stack.runtime.getContainerEvents(
          {},
          { signal: leaving.signal },
        )) {
          again.events.push(event);
        }
      } catch (error) {
        again.end = error;
      }
    }
  };
  const reading = read();
  await until(
    'the exit',
    () => Promise.resolve(about(again, [containerId]).at(-1)?.containerEventType),
    (type) => type === ContainerEventType.CONTAINER_STOPPED_EVENT,
    30_000,
  );
  leaving.abort();
  await reading;
  // What came right before is told once more: the client of that time may not have had it.
  assert.ok(about(again, [containerId]).length <= 3);
  await removePod(stack, pod.podSandboxId);
});
