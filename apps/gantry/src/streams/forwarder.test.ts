import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { PortForwardClient } from '@gantry/remotecommand';
import { Forwarder } from './forwarder.ts';

test('a port that nobody listens at is told in one line, and the connection ends', async () => {
  const notes: string[] = [];
  const refused = new Error('port 81 of pod web: connection refused');
  const client = {
    gone: new AbortController().signal,
    open: () =>
      Promise.resolve(
        new Duplex({
          read() {
            this.destroy(refused);
          },
          write(_chunk, _encoding, done) {
            done(refused);
          },
        }),
      ),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  } as unknown as PortForwardClient;
  await using forwarder = new Forwarder({
    address: '127.0.0.1',
    note: (text) => notes.push(text),
    dial: () => Promise.resolve(client),
  });
  const port = await forwarder.listen({ local: 0, remote: 81 });
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('hello');
  socket.resume();

  await once(socket, 'close');

  assert.deepEqual(notes, [refused.message]);
});
