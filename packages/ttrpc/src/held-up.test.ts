import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ResponseSchema } from '@gantry/proto/ttrpc';
import { encodeFrame, frameType, TtrpcClient } from './index.ts';

test('an answer that came while this process was held up is not late', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'ttrpc-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const socketPath = join(dir, 'socket');
  const answered = join(dir, 'answered');
  const server = createServer().listen(socketPath);
  t.after(() => server.close());
  await once(server, 'listening');
  const data = toBinary(ResponseSchema, create(ResponseSchema, { payload: Buffer.from('here') }));
  const answer = encodeFrame({ streamId: 1, type: frameType.response, data }).toString('hex');
  // Answers each request under the number of its stream.
  const script = `
    const { connect } = require('node:net');
    const socket = connect(${JSON.stringify(socketPath)});
    socket.on('data', (request) => {
      const answer = Buffer.from('${answer}', 'hex');
      request.copy(answer, 4, 4, 8);
      socket.write(answer, () => require('node:fs').writeFileSync(${JSON.stringify(answered)}, ''));
    });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: 'inherit' });
  t.after(() => child.kill('SIGKILL'));
  const [socket] = (await once(server, 'connection')) as [Socket];
  const client = new TtrpcClient(socket);
  t.after(() => {
    client.close();
  });

  for (let timeoutMs = 200; ; timeoutMs *= 2) {
    const begun = performance.now();
    const call = client.call('s', 'Get', new Uint8Array(), { timeoutMs });
    call.catch(() => undefined);
    // It has been sent then.
    await new Promise(setImmediate);
    if (performance.now() - begun < timeoutMs) {
      const pause = new Int32Array(new SharedArrayBuffer(4));
      while (!existsSync(answered) || performance.now() - begun < timeoutMs + 50) {
        Atomics.wait(pause, 0, 0, 1);
      }
      assert.equal(Buffer.from(await call).toString(), 'here');
      return;
    }
    // Held up too early, by others: nobody knows what had come.
    await call.catch(() => undefined);
    await rm(answered, { force: true });
  }
});
