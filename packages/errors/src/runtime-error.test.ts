import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcCodeOf, isKind, kindOf, kindOfGrpcCode, messageOf, RuntimeError } from './index.ts';

test('a kind is found through the causes of an error', () => {
  const cause = new RuntimeError('not-found', 'container "a": not found');
  const error = new Error('stop container', { cause });

  assert.equal(isKind(error, 'not-found'), true);
  assert.equal(isKind(error, 'internal'), false);
  assert.equal(kindOf(error), 'not-found');
});

test('the outermost kind is the one that is told', () => {
  const cause = new RuntimeError('not-found', 'image "a": not found');
  assert.equal(kindOf(new RuntimeError('unavailable', 'pull', { cause })), 'unavailable');
});

test('an aborted signal is canceled, a timed-out one deadline-exceeded', () => {
  const controller = new AbortController();
  controller.abort();
  assert.equal(kindOf(controller.signal.reason), 'canceled');
  assert.equal(kindOf(new DOMException('too late', 'TimeoutError')), 'deadline-exceeded');
});

test('what has no kind is internal', () => {
  assert.equal(kindOf(new Error('boom')), 'internal');
  assert.equal(kindOf('boom'), 'internal');
});

test('messages are joined from the outside in', () => {
  const error = new Error('stop container a', { cause: new Error('kill: no such process') });
  assert.equal(messageOf(error), 'stop container a: kill: no such process');
  assert.equal(messageOf(7), '7');
});

test('a kind survives the trip through its gRPC code', () => {
  assert.equal(kindOfGrpcCode(grpcCodeOf('failed-precondition')), 'failed-precondition');
  assert.equal(kindOfGrpcCode(15), 'unknown');
});
