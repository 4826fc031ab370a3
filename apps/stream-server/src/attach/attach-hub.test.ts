import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import type { Attached, AttachTarget } from '../ports.ts';
import { AttachHub } from './attach-hub.ts';
import { maxBehindBytes } from './attached-client.ts';
import { FakeConmon } from './fake-conmon.ts';

function setUp(kind: Partial<AttachTarget> = {}) {
  const conmon = new FakeConmon();
  const hub = new AttachHub(conmon, {
    containerId: 'c1',
    attachSocket: '/attach',
    controlFifo: '/ctl',
    tty: false,
    stdin: true,
    stdinOnce: false,
    ...kind,
  });
  const join = (outputs: Parameters<AttachHub['join']>[0] = {}): Attached => {
    const attached = hub.join(outputs);
    assert.ok(attached);
    return attached;
  };
  return { conmon, hub, join };
}

function sink(): { stream: PassThrough; text: () => string } {
  const stream = new PassThrough();
  return { stream, text: () => String(stream.read() ?? '') };
}

test('everyone gets both outputs apart, from when they came', async () => {
  const { conmon, join } = setUp();
  const [first, errors, second] = [sink(), sink(), sink()];
  join({ stdout: first.stream, stderr: errors.stream });
  conmon.say(2, 'one');
  join({ stdout: second.stream });
  conmon.say(3, 'two');
  conmon.say(2, 'three');
  assert.deepEqual([first.text(), errors.text(), second.text()], ['onethree', 'two', 'three']);
});

test('input goes in packets that conmon takes, one at a time, never an empty one', async () => {
  const { conmon, join } = setUp();
  const attached = join();
  attached.stdin.write(Buffer.alloc(40_000, 'x'));
  attached.stdin.write('');
  attached.stdin.write('y');
  await new Promise<void>((done) => attached.stdin.write('z', () => done()));
  assert.deepEqual(conmon.packets, [16_384, 16_384, 7232, 1, 1]);
  assert.equal(conmon.mostAtOnce, 1);
});

test('the end of input ends that of the container with stdinOnce, and detaches without', async () => {
  const once = setUp({ stdinOnce: true });
  const attached = once.join();
  attached.stdin.end('last');
  await once.conmon.inputEnded;
  assert.deepEqual(once.conmon.packets, [4]);
  assert.equal(once.conmon.destroyed, false);

  for (const kind of [{}, { tty: true, stdinOnce: true }]) {
    const { conmon, hub, join } = setUp(kind);
    const other = join();
    other.stdin.end('last');
    await other.ended;
    conmon.say(2, 'for nobody');
    await hub.closed;
    assert.deepEqual([conmon.packets, conmon.writableEnded], [[4], false]);
  }
});

test('without clients the connection goes at the next output, but stays where that would end the input', async () => {
  const plain = setUp();
  const [first, second] = [plain.join(), plain.join()];
  first.leave();
  assert.equal(plain.conmon.destroyed, false);
  second.leave();
  await new Promise(setImmediate);
  // Conmon would keep it as long as it has nothing to write: the next one takes it over.
  assert.equal(plain.conmon.destroyed, false);
  plain.join().leave();
  plain.conmon.say(2, 'for nobody');
  await plain.hub.closed;
  assert.equal(plain.hub.join({}), undefined);

  const held = setUp({ stdinOnce: true });
  held.join().leave();
  held.conmon.say(2, 'for nobody');
  await new Promise(setImmediate);
  assert.equal(held.conmon.destroyed, false);
  assert.ok(held.hub.join({}));
});

test('the end of the container is that of everyone', async () => {
  const { conmon, hub, join } = setUp();
  const [first, second] = [join(), join()];
  conmon.push(null);
  await Promise.all([first.ended, second.ended, hub.closed]);
});

test('who falls too far behind is let go, the others stay', async () => {
  const { conmon, join } = setUp();
  const stuck = new Writable({ write: () => undefined });
  const slow = join({ stdout: stuck });
  const quick = sink();
  quick.stream.resume();
  const other = join({ stdout: quick.stream });
  const packet = 'x'.repeat(8192);
  for (let sent = 0; sent <= maxBehindBytes; sent += packet.length) {
    conmon.say(2, packet);
  }
  await assert.rejects(slow.ended, { kind: 'resource-exhausted', message: /16 MiB behind/ });
  conmon.say(2, 'more');
  assert.ok(stuck.writableLength < maxBehindBytes + 3 * packet.length);
  conmon.push(null);
  await other.ended;
});

test('a container without input takes none, and holds nobody up', async () => {
  const { conmon, join } = setUp({ stdin: false });
  const attached = join();
  attached.stdin.end('unheard');
  await once(attached.stdin, 'finish');
  assert.deepEqual(conmon.packets, []);
});
