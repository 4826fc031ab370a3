import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  ContainerUpdateSchema,
  CreateContainerResponseSchema,
  Plugin,
  Runtime,
  UpdateContainersRequestSchema,
  ValidateContainerAdjustmentRequestSchema,
} from '@gantry/proto/nri';
import { TtrpcClient } from './client.ts';
import { checkFieldCount } from './field-count.ts';
import { TtrpcServer } from './server.ts';
import { callMethod, serviceHandlers } from './typed.ts';

const updates = (count: number) =>
  create(UpdateContainersRequestSchema, {
    update: Array.from({ length: count }, (_, n) => ({
      containerId: String(n),
      linux: { resources: { pids: { limit: 5n }, unified: { a: 'b' } } },
    })),
  });

test('fields are counted at every depth', () => {
  const schema = UpdateContainersRequestSchema;
  // update, container_id, linux, resources, pids, limit, unified with its key and value
  const bytes = toBinary(schema, updates(3));
  checkFieldCount(schema, bytes, 27);
  const words = { kind: 'resource-exhausted', message: 'more than 20 fields' };
  assert.throws(() => {
    checkFieldCount(schema, bytes, 20);
  }, words);
});

test('fields of messages in maps are counted too, and those that the schema does not know', () => {
  const schema = ValidateContainerAdjustmentRequestSchema;
  const compound = { 1: { owners: { a: 'x', b: 'y' } } };
  const simple = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [n, 'x']));
  const owned = create(schema, { owners: { owners: { c: { simple, compound } } } });
  assert.throws(() => {
    checkFieldCount(schema, toBinary(schema, owned), 38);
  });
  assert.throws(() => {
    checkFieldCount(schema, Buffer.from('7878'.repeat(20), 'hex'), 10);
  });
});

test('what is no message is left to its parser', () => {
  for (const hex of ['ff', '0aff', '0a05', '07', '0b0a', '']) {
    checkFieldCount(UpdateContainersRequestSchema, Buffer.from(hex, 'hex'), 5);
  }
});

test('requests and answers of too many fields are refused by their size, and the connection goes on', async (t) => {
  const [near, far] = duplexPair();
  let handled = 0;
  new TtrpcServer(
    far,
    new Map([
      serviceHandlers(
        Runtime,
        {
          updateContainers: () => {
            handled++;
            return Promise.resolve({});
          },
        },
        { maxFields: 1000 },
      ),
      serviceHandlers(Plugin, {
        createContainer: () =>
          Promise.resolve(
            create(CreateContainerResponseSchema, {
              update: Array.from({ length: 2000 }, () => create(ContainerUpdateSchema)),
            }),
          ),
      }),
    ]),
  );
  const client = new TtrpcClient(near);
  t.after(() => {
    client.close();
  });
  const update = (count: number) =>
    callMethod(client, Runtime.method.updateContainers, updates(count));
  await assert.rejects(update(1001), {
    kind: 'resource-exhausted',
    message: /^UpdateContainers: a request that is too large: more than 1000 fields/,
  });
  await assert.rejects(callMethod(client, Plugin.method.createContainer, {}, { maxFields: 1000 }), {
    kind: 'resource-exhausted',
  });
  await assert.rejects(
    client.call('s', 'M', new Uint8Array(), {
      metadata: Array.from({ length: 4000 }, () => ['a', 'b'] as const),
    }),
    { kind: 'resource-exhausted' },
  );
  await update(1);
  assert.equal(handled, 1);
});
