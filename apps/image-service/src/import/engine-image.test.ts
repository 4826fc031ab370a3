import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { signal, startImages, temporaryDirectory } from '../testing/test-images.ts';

/** Something that answers on a socket as an engine might. */
async function startEngine(t: TestContext, handle: RequestListener): Promise<string> {
  const socket = join(temporaryDirectory(t), 'engine.sock');
  const server = createServer(handle).listen(socket);
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return socket;
}

test('an engine that is not there, or has no such image, is told by its socket', async (t) => {
  const { images, remains } = await startImages(t);
  const nowhere = join(temporaryDirectory(t), 'no.sock');
  await assert.rejects(
    images.importImages({ engine: { image: 'nginx:dev', socket: nowhere } }, '', signal),
    {
      kind: 'unavailable',
      message: `import nginx:dev: engine at ${nowhere}: nothing listens there: does the engine run, and is this its socket?`,
    },
  );
  const socket = await startEngine(t, (_, response) => {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ message: 'no such image' }));
  });
  await assert.rejects(
    images.importImages({ engine: { image: 'nginx:dev', socket } }, '', signal),
    {
      kind: 'not-found',
      message: `import nginx:dev: engine at ${socket} has no image nginx:dev`,
    },
  );
  assert.deepEqual((await remains()).temporary, []);
});

test('what an engine sends that is no archive, or breaks off, changes nothing', async (t) => {
  const { images, remains } = await startImages(t);
  const socket = await startEngine(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-tar', 'content-length': 10_000 });
    response.write('<html>');
    if (request.url?.includes('cut') === true) {
      response.destroy();
    } else {
      response.end(Buffer.alloc(10_000 - 6, 'x'));
    }
  });
  const pull = (image: string) => images.importImages({ engine: { image, socket } }, '', signal);
  await assert.rejects(pull('html'), { kind: 'invalid-argument', message: /^import html: / });
  await assert.rejects(pull('cut'), {
    message: /^import cut: engine at .*: (aborted|socket hang up)/,
  });
  assert.deepEqual(await remains(), { temporary: [], layers: [], blobs: [] });
});

test('an import from an engine that is given up leaves nothing', async (t) => {
  const { images, remains } = await startImages(t);
  const asked = Promise.withResolvers<void>();
  const socket = await startEngine(t, (_, response) => {
    response.writeHead(200);
    response.write('begun');
    asked.resolve();
  });
  const leaving = new AbortController();
  const engine = { image: 'slow', socket };
  const importing = images.importImages({ engine }, '', leaving.signal);
  await asked.promise;
  leaving.abort(new Error('gone'));
  await assert.rejects(importing, /gone/);
  assert.deepEqual((await remains()).temporary, []);
  assert.ok(existsSync(socket));
});
