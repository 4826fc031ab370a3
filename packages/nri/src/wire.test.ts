import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ConfigureResponseSchema,
  ContainerSchema,
  CreateContainerResponseSchema,
  Event,
  PodSandboxSchema,
  RegisterPluginRequestSchema,
  SynchronizeRequestSchema,
} from '@gantry/proto/nri';
import {
  allEvents,
  checkPluginName,
  eventName,
  eventsOf,
  fullNameOf,
  maskOf,
  parsePluginFile,
  synchronizeParts,
} from './index.ts';

test('what real plugins have sent is read', () => {
  const create_ = fromBinary(
    CreateContainerResponseSchema,
    Buffer.from('0a1412060a016b120176220a0a03464f4f1203626172', 'hex'),
  );
  assert.deepEqual(create_.adjust?.annotations, { k: 'v' });
  assert.deepEqual(
    create_.adjust.env.map(({ key, value }) => `${key}=${value}`),
    ['FOO=bar'],
  );
  const register = fromBinary(
    RegisterPluginRequestSchema,
    Buffer.from('0a0464656d6f12023130', 'hex'),
  );
  assert.deepEqual([register.pluginName, register.pluginIdx], ['demo', '10']);
  assert.equal(fromBinary(ConfigureResponseSchema, Buffer.from('1009', 'hex')).events, 9);
});

test('event n is bit n-1; 0 is all of them; other bits are refused', () => {
  assert.equal(maskOf(allEvents), 0x3fff);
  assert.deepEqual([...eventsOf(9)], [Event.RUN_POD_SANDBOX, Event.CREATE_CONTAINER]);
  assert.equal(eventsOf(0).size, 14);
  assert.throws(() => eventsOf(0x4001), { kind: 'invalid-argument', message: /0x4000/ });
  assert.throws(() => eventsOf(-1), { kind: 'invalid-argument' });
});

test('events have the names of their methods', () => {
  assert.equal(eventName(Event.RUN_POD_SANDBOX), 'RunPodSandbox');
  assert.equal(eventName(Event.POST_UPDATE_POD_SANDBOX), 'PostUpdatePodSandbox');
  assert.equal(eventName(Event.VALIDATE_CONTAINER_ADJUSTMENT), 'ValidateContainerAdjustment');
});

test('a plugin has two digits and a plain name', () => {
  assert.deepEqual(parsePluginFile('05-a.b-c'), { index: '05', name: 'a.b-c' });
  assert.equal(fullNameOf({ index: '05', name: 'x' }), '05-x');
  for (const index of ['', '5', '005', 'ab', '-1', '1e', '٠٠']) {
    assert.throws(() => checkPluginName({ index, name: 'x' }), { kind: 'invalid-argument' });
  }
  for (const name of ['', 'a b', '../x', 'a/b', 'x'.repeat(129), 'é']) {
    assert.throws(() => checkPluginName({ index: '00', name }), { kind: 'invalid-argument' });
  }
  assert.throws(() => parsePluginFile('5-name'));
  assert.throws(() => parsePluginFile('plain'));
});

test('what fits goes in one part', () => {
  const parts = synchronizeParts([create(PodSandboxSchema, { id: 'p' })], [], 4 << 20);
  assert.deepEqual(
    parts.map(({ pods, more }) => [pods.length, more]),
    [[1, false]],
  );
});

test('what is too large goes in parts that fit, each object once and in order', () => {
  const pods = Array.from({ length: 100 }, (_, i) => create(PodSandboxSchema, { id: `p${i}` }));
  const containers = Array.from({ length: 500 }, (_, i) =>
    create(ContainerSchema, { id: `c${i}`, args: ['x'.repeat(i % 7 === 0 ? 900 : 90)] }),
  );
  const limit = 20_000;
  const parts = synchronizeParts(pods, containers, limit);
  assert.ok(parts.length > 3);
  for (const part of parts) {
    assert.ok(toBinary(SynchronizeRequestSchema, part).length < limit);
  }
  assert.deepEqual(
    parts.map(({ more }) => more),
    parts.map((_, i) => i < parts.length - 1),
  );
  assert.deepEqual(
    parts.flatMap((part) => part.pods.map(({ id }) => id)),
    pods.map(({ id }) => id),
  );
  assert.deepEqual(
    parts.flatMap((part) => part.containers.map(({ id }) => id)),
    containers.map(({ id }) => id),
  );
});

test('one object above the limit is told of', () => {
  const huge = create(ContainerSchema, { id: 'c', args: ['x'.repeat(30_000)] });
  assert.throws(() => synchronizeParts([], [huge], 20_000), { kind: 'resource-exhausted' });
});
