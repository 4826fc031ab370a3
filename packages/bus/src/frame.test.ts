import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import type { Msg, MsgHdrs } from '@nats-io/transport-node';
import { BodyAssembler, cutBody } from './body.ts';
import { SendWindow } from './flow.ts';
import { decodeControl, decodeReply, decodeRequest, encodeFrame, encodeRequest } from './frame.ts';
import { partBytesFor, windowBytes } from './limits.ts';
import { keyOfInbox, methodToken, nodeToken } from './subjects.ts';

const msg = (headers: MsgHdrs | undefined): Msg => ({ headers }) as unknown as Msg;

test('a request with nothing to say has no headers', () => {
  const head = { stream: false, part: undefined, timeoutMs: undefined, carrier: {} };
  assert.equal(encodeRequest(head), undefined);
  assert.deepEqual(decodeRequest(msg(undefined)), head);
});

test('what a request says is read as it was written', () => {
  const head = {
    stream: true,
    part: { index: 1, count: 2, totalBytes: 9 },
    timeoutMs: 1500,
    carrier: { traceparent: '00-ab-cd-01' },
  };
  assert.deepEqual(decodeRequest(msg(encodeRequest(head))), head);
});

test('what a frame says is read as it was written', () => {
  const part = { index: 2, count: 3, totalBytes: 4096 };
  for (const frame of [
    { type: 'answer', part: undefined },
    { type: 'answer', part },
    { type: 'item', part: undefined },
    { type: 'item', part },
    { type: 'ack', bytes: 12 },
    { type: 'accept' },
    { type: 'beat' },
    { type: 'end' },
  ] as const) {
    assert.deepEqual(decodeReply(msg(encodeFrame(frame))), frame);
  }
  for (const frame of [
    { type: 'part', part },
    { type: 'ack', bytes: 12 },
    { type: 'cancel' },
    { type: 'keep' },
  ] as const) {
    assert.deepEqual(decodeControl(msg(encodeFrame(frame))), frame);
  }
});

test('any message of an error survives', () => {
  for (const message of [' ', '%', '%41', 'a\r\nb\0', 'é 容器 😀', '\ud800', '\u0085x\u00a0']) {
    const frame = decodeReply(
      msg(encodeFrame({ type: 'error', error: new RuntimeError('unavailable', message) })),
    );
    assert.ok(frame.type === 'error' && frame.error instanceof RuntimeError);
    assert.equal(frame.error.kind, 'unavailable');
    assert.equal(frame.error.message, message.toWellFormed());
  }
});

test('parts make the body that was cut', () => {
  const body = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251));
  const assembler = new BodyAssembler(5000);
  const parts = [...cutBody(body, 1024)];

  const whole = parts.map(({ part, bytes }) => assembler.add(part, bytes)).at(-1);

  assert.equal(parts.length, 5);
  assert.deepEqual(whole, body);
  assert.equal(assembler.pendingBytes, 0);
  assert.throws(() => new BodyAssembler(4999).add({ index: 1, count: 2, totalBytes: 5000 }, body), {
    kind: 'resource-exhausted',
  });
});

test('a sender waits when the window is full, and goes on by acks that can be', async () => {
  const window = new SendWindow();
  assert.equal(await window.reserve(windowBytes), true);
  let went = false;
  const waiting = window.reserve(1).then((open) => {
    went = open;
  });
  window.ack(windowBytes + 1);
  window.ack(-1);
  await Promise.resolve();
  assert.equal(went, false);
  window.ack(windowBytes);
  await waiting;
  assert.equal(went, true);
  window.close();
  assert.equal(await window.reserve(1), false);
});

test('names become tokens, and only inboxes become keys', () => {
  assert.equal(
    methodToken('runtime.v1.RuntimeService/Version'),
    'runtime_v1_RuntimeService-Version',
  );
  assert.equal(nodeToken('ip-10-0-0-1.example'), 'ip-10-0-0-1_example');
  assert.equal(keyOfInbox('_INBOX.gateway.ab12.7'), 'gateway.ab12.7');
  for (const reply of [
    '',
    '_INBOX.',
    '_INBOX.a.*',
    '_INBOX.a..b',
    '_INBOX.a b',
    'x.y',
    undefined,
  ]) {
    assert.equal(keyOfInbox(reply), undefined);
  }
});

test('parts leave room for headers whatever the server takes', () => {
  for (const maxPayload of [4096, 64 << 10, 1 << 20, 8 << 20]) {
    assert.ok(partBytesFor(maxPayload) < maxPayload);
    assert.ok(partBytesFor(maxPayload) <= 1 << 20);
  }
});
