import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageImport, RootFilesystems, RuntimeService } from '@gantry/proto';
import { startTestNats } from './testing.ts';
import { busClient, busHandlers } from './typed.ts';

test('a typed client reaches a typed handler', async (t) => {
  const nats = await startTestNats(t);
  const sandbox = await nats.connect('sandbox');
  const image = await nats.connect('image');
  await image.serve(
    busHandlers(RootFilesystems, {
      prepareRoot: (request, { method }) =>
        Promise.resolve({ lowerDirs: [request.ownerId, request.image], upperDir: method }),
    }),
  );

  const answer = await busClient(sandbox, 'image', RootFilesystems).prepareRoot({
    ownerId: 'a',
    image: 'busybox',
  });

  assert.deepEqual(answer.lowerDirs, ['a', 'busybox']);
  assert.equal(answer.upperDir, 'gantry.image.v1.RootFilesystems/PrepareRoot');
  assert.equal(answer.workDir, '');
});

test('a server-streaming RPC is an async generator on both sides', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const sandbox = await nats.connect('sandbox');
  await sandbox.serve(
    busHandlers(RuntimeService, {
      getContainerEvents: async function* () {
        yield { containerId: 'a' };
        yield { containerId: 'b' };
      },
    }),
  );

  const ids: string[] = [];
  for await (const event of busClient(gateway, 'sandbox', RuntimeService).getContainerEvents({})) {
    ids.push(event.containerId);
  }

  assert.deepEqual(ids, ['a', 'b']);
});

test('several services are offered as one map, and what is left out is unimplemented', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const image = await nats.connect('image');
  await image.serve(
    new Map([
      ...busHandlers(RootFilesystems, { listRoots: () => Promise.resolve({ ownerIds: ['x'] }) }),
      ...busHandlers(ImageImport, { importImage: () => Promise.resolve({}) }),
    ]),
  );

  const roots = busClient(gateway, 'image', RootFilesystems);
  await busClient(gateway, 'image', ImageImport).importImage({ path: '/x' });
  assert.deepEqual((await roots.listRoots({})).ownerIds, ['x']);
  await assert.rejects(roots.releaseRoot({ ownerId: 'x' }), { kind: 'unimplemented' });
});

test('a request that is no such message is an invalid argument', async (t) => {
  const nats = await startTestNats(t);
  const gateway = await nats.connect('gateway');
  const image = await nats.connect('image');
  await image.serve(busHandlers(RootFilesystems, { listRoots: () => Promise.resolve({}) }));

  await assert.rejects(
    gateway.request('image', 'gantry.image.v1.RootFilesystems/ListRoots', Buffer.from([0xff])),
    { kind: 'invalid-argument' },
  );
});
