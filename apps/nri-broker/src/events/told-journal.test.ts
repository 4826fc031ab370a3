import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind } from '@gantry/errors';
import { definePlugin } from '@gantry/nri';
import { Event } from '@gantry/proto/nri';
import { container, FakeHost, pod, startTestBroker } from '../testing.ts';
import { ToldJournal } from './told-journal.ts';

const { STOP_CONTAINER, REMOVE_CONTAINER, RUN_POD_SANDBOX, STOP_POD_SANDBOX } = Event;
const log = { warn: () => undefined };

function newPath(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'told-'));
  t.after(() => {
    rmSync(dir, { recursive: true });
  });
  return join(dir, 'told');
}

/** As the dispatcher does; false where it was told before. */
function tell(
  journal: ToldJournal,
  event: Event,
  id: string,
  plugin: string,
  nth: number,
): boolean {
  if (journal.wasTold(event, id, plugin, nth)) {
    return false;
  }
  const nowhere = openSync('/dev/null', 'w');
  try {
    assert.notEqual(journal.telling(event, id, plugin, nth)?.(nowhere, 1), false);
  } finally {
    closeSync(nowhere);
  }
  return true;
}

test('what has been noted is known after kill -9, and a line that was cut off is none', (t) => {
  const path = newPath(t);
  const journal = new ToldJournal(path, log);
  assert.equal(tell(journal, STOP_CONTAINER, 'c', '10-a', 1), true);
  assert.equal(tell(journal, RUN_POD_SANDBOX, 'p', '10-a', 1), true);
  appendFileSync(path, `told ${STOP_CONTAINER} d 10-a`);
  // Not closed, as by kill -9.
  const next = new ToldJournal(path, log);
  assert.equal(tell(next, STOP_CONTAINER, 'c', '10-a', 1), false);
  assert.equal(tell(next, STOP_CONTAINER, 'd', '10-a', 1), true);
  assert.equal(tell(next, REMOVE_CONTAINER, 'c', '10-a', 1), true);
  assert.equal(tell(next, STOP_CONTAINER, 'c', '10-b', 1), true);
  assert.equal(tell(next, RUN_POD_SANDBOX, 'p', '10-a', 1), true);
});

test('killed in the midst of telling: what the mark says counts, until the next is told', (t) => {
  const line = `telling ${STOP_CONTAINER} d 10-a\n`;
  const isTold = (path: string) =>
    new ToldJournal(path, log).wasTold(STOP_CONTAINER, 'd', '10-a', 1);
  const dying = (name: string) => {
    const path = newPath(t);
    const journal = new ToldJournal(path, log);
    // Before it the mark has been touched, and after it: that of the next broker is another one.
    tell(journal, STOP_CONTAINER, 'c', '10-a', 1);
    appendFileSync(path, line);
    assert.equal(readFileSync(`${path}.mark`).length, 256, name);
    return path;
  };
  const sent = dying('sent');
  assert.equal(isTold(sent), true);
  assert.equal(isTold(sent), true);

  const notSent = dying('not sent');
  utimesSync(`${notSent}.mark`, 0, 1);
  assert.equal(isTold(notSent), false);
  const next = new ToldJournal(notSent, log);
  assert.equal(tell(next, STOP_CONTAINER, 'c', '10-a', 1), false);
  assert.equal(tell(next, STOP_CONTAINER, 'd', '10-a', 1), true);
  assert.equal(isTold(notSent), true);

  const failedBefore = dying('failed before');
  const journal = new ToldJournal(failedBefore, log);
  appendFileSync(failedBefore, `telling ${STOP_CONTAINER} e 10-a\n${line}`);
  journal.arrived('20-b');
  utimesSync(`${failedBefore}.mark`, 1, 1);
  const after = new ToldJournal(failedBefore, log);
  assert.equal(after.wasTold(STOP_CONTAINER, 'e', '10-a', 1), false);
  assert.equal(after.wasTold(STOP_CONTAINER, 'd', '10-a', 1), true);

  const lost = dying('mark lost');
  rmSync(`${lost}.mark`);
  assert.equal(isTold(lost), true);
});

test('a plugin that is told in another way, as it has not understood, counts as told by that', (t) => {
  const path = newPath(t);
  const journal = new ToldJournal(path, log);
  const nowhere = openSync('/dev/null', 'w');
  t.after(() => {
    closeSync(nowhere);
  });
  const sendLast = journal.telling(STOP_CONTAINER, 'c', '10-a', 1);
  assert.equal(sendLast?.(nowhere, 1), true);
  const atOnce = readFileSync(path, 'utf8');
  assert.equal(sendLast(nowhere, 1), true);
  const isTold = () => new ToldJournal(path, log).wasTold(STOP_CONTAINER, 'c', '10-a', 1);
  const lines = readFileSync(path, 'utf8').slice(atOnce.length).split('\n');
  assert.deepEqual(
    lines.map((words) => words.split(' ')[0]),
    ['untold', 'telling', 'told', ''],
  );
  assert.equal(isTold(), true);
  writeFileSync(path, `${atOnce}${lines.slice(0, 2).join('\n')}\n`);
  utimesSync(`${path}.mark`, 0, 1);
  assert.equal(isTold(), false);
});

test('two plugins of one name are told once each', (t) => {
  const path = newPath(t);
  tell(new ToldJournal(path, log), STOP_CONTAINER, 'c', '10-a', 1);
  const next = new ToldJournal(path, log);
  const told = [1, 2, 1, 2].map((nth) => tell(next, STOP_CONTAINER, 'c', '10-a', nth));
  assert.deepEqual(told, [false, true, false, false]);
});

test('the file stays short, and keeps what is not gone', (t) => {
  const path = newPath(t);
  const journal = new ToldJournal(path, log);
  journal.arrived('20-b');
  tell(journal, STOP_CONTAINER, 'stays', '10-a', 1);
  for (let n = 0; n < 20_000; n++) {
    tell(journal, STOP_CONTAINER, `c${n}`, '10-a', 1);
    journal.shorten((id) => id === 'stays');
  }
  assert.ok(readFileSync(path, 'utf8').split('\n').length < 10_000);
  const next = new ToldJournal(path, log);
  assert.equal(tell(next, STOP_CONTAINER, 'stays', '10-a', 1), false);
  assert.equal(tell(next, STOP_CONTAINER, 'c19999', '10-a', 1), false);
  assert.equal(next.isAwaiting, true);
});

test('plugins that were there when it was killed are awaited, those that left are not', (t) => {
  const path = newPath(t);
  const journal = new ToldJournal(path, log);
  for (const name of ['10-a', '20-b', '20-b', '30-c']) {
    journal.arrived(name);
  }
  journal.left('30-c');
  journal.left('20-b');
  const next = new ToldJournal(path, log);
  next.arrived('10-a');
  assert.equal(next.isAwaiting, true);
  next.arrived('20-b');
  assert.equal(next.isAwaiting, false);
  const third = new ToldJournal(path, log);
  assert.equal(third.isAwaiting, true);
  third.giveUp();
  assert.equal(third.isAwaiting, false);
  assert.equal(new ToldJournal(path, log).isAwaiting, false);
});

test('without a disk plugins are told all the same', (t) => {
  const file = newPath(t);
  writeFileSync(file, '');
  const warned: object[] = [];
  const journal = new ToldJournal(join(file, 'told'), {
    warn: (fields: object) => {
      warned.push(fields);
    },
  } as never);
  assert.equal(tell(journal, STOP_CONTAINER, 'c', '10-a', 1), true);
  assert.equal(tell(journal, STOP_CONTAINER, 'c', '10-a', 1), false);
  assert.equal(warned.length > 0, true);
});

test('a broker that dies between asking and answering tells no plugin of a stop twice', async (t) => {
  const host = new FakeHost();
  host.containers = [container('c')];
  const first = await startTestBroker(t, {}, host);
  const told: string[] = [];
  const never = new Promise<undefined>(() => undefined);
  const watcher = (name: string, index: number, answer?: Promise<undefined>) =>
    definePlugin({
      name,
      index,
      stopContainer: (_, { id }) => {
        told.push(`${name} ${id}`);
        return answer;
      },
    });
  await first.run(watcher('quick', 10));
  await first.run(watcher('hangs', 20, never));
  const subject = { pod: pod('p'), container: container('c') };
  const asked = first.dispatcher.notify(STOP_CONTAINER, subject).catch(() => undefined);
  while (told.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await first[Symbol.asyncDispose]();
  await asked;

  host.containers = [];
  host.stopping = ['c'];
  const second = await startTestBroker(t, {}, host, first.dir);
  await assert.rejects(second.dispatcher.notify(STOP_CONTAINER, subject), (error) =>
    isKind(error, 'unavailable'),
  );
  await second.untilCount(2);
  await second.run(watcher('newcomer', 30));
  await second.dispatcher.notify(STOP_CONTAINER, subject);
  assert.deepEqual(told, ['quick c', 'hangs c', 'newcomer c']);
});

test('what is in the making when a broker dies is shown by the next one, and its end is told once', async (t) => {
  const host = new FakeHost();
  const seen: string[] = [];
  const plugin = definePlugin({
    name: 'a',
    index: 10,
    createContainer: (_, { id }) => {
      seen.push(`create ${id}`);
    },
    synchronize: (pods, containers) => {
      seen.push(`synchronize ${[...pods, ...containers].map(({ id }) => id).join(' ')}`);
    },
    stopContainer: (_, { id }) => {
      seen.push(`stop ${id}`);
    },
    removeContainer: (_, { id }) => {
      seen.push(`remove ${id}`);
    },
    stopPodSandbox: ({ id }) => {
      seen.push(`stop ${id}`);
    },
  });
  const first = await startTestBroker(t, {}, host);
  await first.run(plugin);
  await first.dispatcher.notify(RUN_POD_SANDBOX, { pod: pod('p') });
  await first.dispatcher.adjustContainer(pod('p'), container('c'));
  await first.dispatcher.adjustContainer(pod('p'), container('done'));
  const done = { pod: pod('p'), container: container('done') };
  await first.dispatcher.notify(REMOVE_CONTAINER, done);
  await first[Symbol.asyncDispose]();

  host.podsInMaking = [pod('p'), pod('q')];
  host.containersInMaking = [container('c'), container('unheard')];
  const second = await startTestBroker(t, {}, host, first.dir);
  await second.untilCount(1);
  for (const id of ['c', 'unheard', 'done']) {
    const subject = { pod: pod('p'), container: container(id) };
    await second.dispatcher.notify(STOP_CONTAINER, subject);
    await second.dispatcher.notify(REMOVE_CONTAINER, subject);
  }
  await second.dispatcher.notify(STOP_POD_SANDBOX, { pod: pod('q') });
  await second.dispatcher.notify(STOP_POD_SANDBOX, { pod: pod('p') });
  await second[Symbol.asyncDispose]();

  host.podsInMaking = [];
  const third = await startTestBroker(t, {}, host, first.dir);
  await third.untilCount(1);
  assert.deepEqual(seen, [
    'synchronize ',
    'create c',
    'create done',
    'stop done',
    'remove done',
    'synchronize p c',
    'stop c',
    'remove c',
    'stop p',
    'synchronize ',
  ]);
});

test('a broker that dies in the midst of telling of a removal: the next one tells the rest of the plugins', async (t) => {
  const host = new FakeHost();
  const told: string[] = [];
  const first = await startTestBroker(t, {}, host);
  const never = new Promise<undefined>(() => undefined);
  const remover = (name: string, index: number, answer?: Promise<undefined>) =>
    definePlugin({
      name,
      index,
      createContainer: () => undefined,
      removeContainer: (_, { id }) => {
        told.push(`${name} ${id}`);
        return answer;
      },
    });
  await first.run(remover('quick', 10));
  await first.run(remover('hangs', 20, never));
  await first.run(remover('last', 30));
  const subject = { pod: pod('p'), container: container('c') };
  await first.dispatcher.adjustContainer(subject.pod, subject.container);
  const asked = first.dispatcher.notify(REMOVE_CONTAINER, subject).catch(() => undefined);
  while (told.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  // As by kill -9: what it notes once it ends is not to be seen.
  const path = join(first.dir, 'state', 'told');
  const journal = readFileSync(path);
  await first[Symbol.asyncDispose]();
  await asked;
  writeFileSync(path, journal);

  const second = await startTestBroker(t, {}, host, first.dir);
  await second.untilCount(3);
  await second.dispatcher.notify(REMOVE_CONTAINER, subject);
  await second.dispatcher.notify(REMOVE_CONTAINER, subject);
  assert.deepEqual(told, ['quick c', 'hangs c', 'last c']);
});
