import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { isKind } from '@gantry/errors';
import {
  type ContainerEventResponse,
  ContainerEventResponseSchema,
  ContainerEventType,
  ContainerState,
  GetEventsRequestSchema,
  PodSandboxState,
} from '@gantry/proto';
import { keptBytes } from '../store/event-migration.ts';
import {
  createContainer,
  newNode,
  podConfig,
  runPod,
  startAlone,
  startContainer,
  startOn,
  type TestService,
} from '../testing.ts';
import { EventQueue } from './event-queue.ts';

interface Client {
  /** The next `count` events. */
  take(count: number): Promise<ContainerEventResponse[]>;
  leave(): void;
}

/** A client that listens once this resolves. */
async function listen(t: TestContext, { service }: TestService): Promise<Client> {
  const method = 'runtime.v1.RuntimeService/GetContainerEvents';
  const handler = service.handlers.get(method);
  assert.ok(handler?.kind === 'stream');
  await service.reconciliation.recovered;
  const leaving = new AbortController();
  t.after(() => {
    leaving.abort();
  });
  const body = toBinary(GetEventsRequestSchema, create(GetEventsRequestSchema, {}));
  const stream = handler.handle(body, { signal: leaving.signal, method })[Symbol.asyncIterator]();
  // Asked for at once, as the bus does: a generator does nothing before that.
  let ahead: Promise<IteratorResult<Uint8Array>> | undefined = stream.next();
  ahead.catch(() => undefined);
  await new Promise(setImmediate);
  return {
    async take(count) {
      const events: ContainerEventResponse[] = [];
      while (events.length < count) {
        const result = await (ahead ?? stream.next());
        ahead = undefined;
        assert.ok(result.done !== true);
        events.push(fromBinary(ContainerEventResponseSchema, result.value));
      }
      return events;
    },
    leave: () => {
      leaving.abort();
    },
  };
}

/** By the values of ContainerEventType. */
const kinds = ['CREATED', 'STARTED', 'STOPPED', 'DELETED'] as const;
const brief = (events: readonly ContainerEventResponse[]) =>
  events.map((e) => [e.containerId, kinds[e.containerEventType]]);

test('two clients of two instances see the life of a pod in the same order', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  const second = await startOn(t, node);
  await first.service.reconciliation.finished;
  await second.service.reconciliation.finished;
  const clients = [await listen(t, first), await listen(t, second)];
  const pod = await runPod(first);
  const id = await startContainer(second, pod);
  await first.call('stopContainer', { containerId: id, timeout: 1n });
  await second.call('removeContainer', { containerId: id });
  await first.call('stopPodSandbox', { podSandboxId: pod });
  await second.call('removePodSandbox', { podSandboxId: pod });
  for (const client of clients) {
    const events = await client.take(8);
    assert.deepEqual(brief(events), [
      [pod, 'CREATED'],
      [pod, 'STARTED'],
      [id, 'CREATED'],
      [id, 'STARTED'],
      [id, 'STOPPED'],
      [id, 'DELETED'],
      [pod, 'STOPPED'],
      [pod, 'DELETED'],
    ]);
    assert.deepEqual(
      events.map((e) => e.containersStatuses.map((c) => c.state)),
      [
        [],
        [],
        [ContainerState.CONTAINER_CREATED],
        [ContainerState.CONTAINER_RUNNING],
        [ContainerState.CONTAINER_EXITED],
        [],
        [],
        [],
      ],
    );
    const [ready, notReady] = [PodSandboxState.SANDBOX_READY, PodSandboxState.SANDBOX_NOTREADY];
    assert.deepEqual(
      events.map((e) => e.podSandboxStatus?.state),
      [ready, ready, ready, ready, ready, ready, notReady, notReady],
    );
    const now = BigInt(Date.now()) * 1_000_000n;
    assert.ok(events.every((e) => e.createdAt <= now && e.createdAt > now - 60_000_000_000n));
  }
});

test('the newest attempt stands first, and no status is newer than the event after it', async (t) => {
  const service = await startAlone(t);
  const pod = await runPod(service);
  const client = await listen(t, service);
  const attempts: string[] = [];
  for (let i = 0; i < 6; i += 1) {
    attempts.unshift(await createContainer(service, pod, `c${i}`));
    // Ages are told to the millisecond.
    await delay(2);
  }
  const status = await service.call('podSandboxStatus', { podSandboxId: pod });
  assert.deepEqual(
    status.containersStatuses.map((c) => c.id),
    attempts,
  );
  await service.call('removeContainer', { containerId: attempts[0] ?? '' });
  const last = (await client.take(8)).at(-1);
  assert.ok(last);
  assert.deepEqual(
    last.containersStatuses.map((c) => c.id),
    attempts.slice(1),
  );
  assert.ok(status.timestamp > 0n && status.timestamp <= last.createdAt);
  assert.equal(status.timestamp % 1_000_000n, 0n);
});

test('a creation that fails, and one that is undone, tell nobody anything', async (t) => {
  const service = await startAlone(t);
  const pod = await runPod(service);
  const client = await listen(t, service);
  service.node.host.failures.set('specs.container', new Error('no'));
  await assert.rejects(createContainer(service, pod));
  service.node.host.failures.clear();
  const id = await createContainer(service, pod, 'other');
  assert.deepEqual(brief(await client.take(1)), [[id, 'CREATED']]);
});

test('a container that the runtime can not start has stopped', async (t) => {
  const service = await startAlone(t);
  const id = await createContainer(service, await runPod(service));
  const client = await listen(t, service);
  service.node.host.failures.set('runtime.create', new Error('exec: not found'));
  await assert.rejects(service.call('startContainer', { containerId: id }));
  const [event] = await client.take(1);
  assert.equal(event?.containerEventType, ContainerEventType.CONTAINER_STOPPED_EVENT);
  assert.equal(event.containersStatuses[0]?.reason, 'StartError');
});

test('an exit while the service was down, and what came just before, reach a client that connects after its start', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  await first.service.reconciliation.finished;
  const pod = await runPod(first);
  const id = await startContainer(first, pod);
  // With it goes what it had not told yet.
  first.crash();
  node.host.exit(id, 3);
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  const client = await listen(t, second);
  const events = await client.take(5);
  assert.deepEqual(brief(events), [
    [pod, 'CREATED'],
    [pod, 'STARTED'],
    [id, 'CREATED'],
    [id, 'STARTED'],
    [id, 'STOPPED'],
  ]);
  assert.equal(events.at(-1)?.containersStatuses[0]?.exitCode, 3);
});

test('what one instance finds at its start reaches a client of one that started later', async (t) => {
  const node = await newNode(t);
  const first = await startOn(t, node);
  await first.service.reconciliation.finished;
  const id = await startContainer(first, await runPod(first));
  first.crash();
  node.host.exit(id, 3);
  const second = await startOn(t, node);
  await second.service.reconciliation.finished;
  const third = await startOn(t, node);
  await third.service.reconciliation.finished;
  const client = await listen(t, third);
  assert.deepEqual(brief(await client.take(5)).at(-1), [id, 'STOPPED']);
});

test('a client gets nothing from before its call, and leaves without a trace', async (t) => {
  const service = await startAlone(t);
  const pod = await runPod(service);
  const early = await listen(t, service);
  const a = await createContainer(service, pod, 'a');
  const late = await listen(t, service);
  const b = await createContainer(service, pod, 'b');
  assert.deepEqual(
    brief(await early.take(2)).map(([id]) => id),
    [a, b],
  );
  assert.deepEqual(
    brief(await late.take(1)).map(([id]) => id),
    [b],
  );
  late.leave();
  await assert.rejects(late.take(1));
  const c = await createContainer(service, pod, 'c');
  assert.deepEqual(brief(await early.take(1)), [[c, 'CREATED']]);
});

test('streams end with unavailable when the service stops', async (t) => {
  const node = await newNode(t);
  const service = await startOn(t, node);
  const client = await listen(t, service);
  const end = client.take(1);
  await service.service[Symbol.asyncDispose]();
  await assert.rejects(end, (e) => isKind(e, 'unavailable') && /stopping/.test(String(e)));
});

test('a slow client is told that it has lost events, another one is not', async () => {
  const { signal } = new AbortController();
  const [slow, fast] = [new EventQueue<number>(3, 100), new EventQueue<number>(3, 100)];
  const quick = fast.take(signal);
  for (const n of [1, 2, 3, 4]) {
    slow.push(n, 1);
    fast.push(n, 1);
    assert.equal((await quick.next()).value, n);
  }
  await assert.rejects(slow.take(signal).next(), (e) => isKind(e, 'resource-exhausted'));
});

test('a slow client is held to an amount of bytes, too, and one large event reaches a client', async () => {
  const { signal } = new AbortController();
  const mib = 1 << 20;
  const [slow, fast] = [new EventQueue<number>(9, 4 * mib), new EventQueue<number>(9, 4 * mib)];
  const quick = fast.take(signal);
  for (const [n, bytes] of [
    [1, 9 * mib],
    [2, 3 * mib],
    [3, 3 * mib],
  ] as const) {
    slow.push(n, bytes);
    fast.push(n, bytes);
    assert.equal((await quick.next()).value, n);
  }
  await assert.rejects(slow.take(signal).next(), {
    kind: 'resource-exhausted',
    message: /more than 4 MiB wait for this client/,
  });
});

test('an abort ends a client that waits', async () => {
  const leaving = new AbortController();
  const waiting = new EventQueue<number>(3, 100).take(leaving.signal).next();
  leaving.abort(new Error('gone'));
  await assert.rejects(waiting, /gone/);
});

test('events that nobody reads do not pile up', async (t) => {
  const service = await startAlone(t);
  const pod = await runPod(service);
  const { records } = service.world;
  const before = records.events.last();
  records.commit(() => {
    for (let i = 0; i < 2100; i += 1) {
      records.sandboxes.update(pod, { phase: 'notready' });
      records.sandboxes.update(pod, { phase: 'ready' });
    }
  });
  const kept = records.events.after(0, 100_000);
  assert.equal(kept.length, 4096);
  assert.equal(kept.at(-1)?.seq, before + 3 * 2100);
});

test('what is kept of pods with large annotations is bounded by its bytes', async (t) => {
  const service = await startAlone(t);
  const annotations = { large: 'l'.repeat(4 << 20) };
  const config = podConfig('web', { annotations });
  const { podSandboxId: pod } = await service.call('runPodSandbox', { config });
  const { records } = service.world;
  const before = records.events.last();
  records.commit(() => {
    for (let i = 0; i < 9; i += 1) {
      records.sandboxes.update(pod, { phase: 'notready' });
      records.sandboxes.update(pod, { phase: 'ready' });
    }
  });
  const kept = records.events.after(0, 100_000);
  const bytes = kept.reduce((sum, event) => sum + event.bytes, 0);
  assert.ok(Math.abs(bytes - keptBytes) < 5 << 20, String(bytes));
  assert.equal(kept.at(-1)?.seq, before + 3 * 9);
  assert.equal((kept[0]?.seq ?? 0) + kept.length - 1, kept.at(-1)?.seq);
});
