import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, it, type TestContext } from 'node:test';
import { SpdyConnection, type SpdyStream } from '@gantry/spdy';
import type { DialPortForwardOptions, PortForwardClient } from './client.ts';
import { dialPortForward } from './dial-port-forward.ts';
import { dialSpdy, dialWebSocket } from './dial-upgrade.ts';
import type { ForwardedConnection, PortForwardOptions, PortForwardSession } from './session.ts';
import { servePorts } from './testing.ts';

type Handler = (connection: ForwardedConnection) => unknown;

const ways: readonly DialPortForwardOptions[] = [
  { transport: 'spdy' },
  { transport: 'websocket' },
  { transport: 'websocket', protocols: ['v4.channel.k8s.io'] },
  { transport: 'websocket', protocols: ['v4.base64.channel.k8s.io'] },
];

async function connect(
  t: TestContext,
  way: DialPortForwardOptions,
  handler: Handler,
  options: Partial<PortForwardOptions> = {},
): Promise<{ client: PortForwardClient; session: PortForwardSession }> {
  const ports = [80, 8080, 443];
  const served = await servePorts(t, { ports, ...options });
  const client = await dialPortForward(served.url, { ...way, ports });
  t.after(() => client[Symbol.asyncDispose]());
  const session = await served.session;
  void serve(session, handler);
  return { client, session };
}

async function serve(session: PortForwardSession, handler: Handler): Promise<void> {
  for await (const connection of session.connections) {
    void handler(connection);
  }
}

/** So many bytes: over channels a connection has no end of its own. */
async function read(stream: Duplex, length: number): Promise<string> {
  let all = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    all += chunk.toString('latin1');
    if (all.length >= length) {
      break;
    }
  }
  return all;
}

async function errorOf(stream: Duplex): Promise<string> {
  stream.resume();
  const [error] = (await once(stream, 'error')) as [Error];
  return error.message;
}

for (const way of ways) {
  const name = way.protocols?.[0] ?? (way.transport === 'spdy' ? 'SPDY' : 'the SPDY tunnel');
  const isMultiplexed = way.protocols === undefined;

  describe(`port-forward over ${name}`, () => {
    it('carries bytes both ways, to the port that was asked for', async (t) => {
      const { client } = await connect(t, way, ({ port, data }) => {
        data.once('data', (chunk: Buffer) => data.end(`${port} got ${chunk.toString()}`));
      });
      for (const port of [8080, 80]) {
        const stream = await client.open(port);
        stream.write('hello');
        const answer = `${port} got hello`;
        assert.equal(await read(stream, answer.length), answer);
      }
    });

    it('tells why a connection failed', async (t) => {
      const words = 'error forwarding port 443 to pod p, uid : connection refused';
      const { client } = await connect(t, way, (connection) =>
        connection.port === 443 ? connection.fail(words) : connection.data.end('others go on'),
      );
      const refused = await client.open(443);
      assert.equal(await errorOf(refused), words);
      assert.equal(await read(await client.open(80), 12), 'others go on');
    });

    it('carries megabytes both ways at once', async (t) => {
      const { client } = await connect(t, way, ({ data }) => pipeline(data, data).catch(() => {}));
      const block = Buffer.alloc(4_000_003, 'there and back again ');
      const stream = await client.open(80);
      stream.write(block);
      assert.ok((await read(stream, block.length)) === block.toString());
    });

    it('ends the session when the client leaves', async (t) => {
      const closed: Promise<unknown>[] = [];
      const { client, session } = await connect(t, way, ({ data }) => {
        closed.push(new Promise((resolve) => data.once('close', resolve)));
        data.write('up');
      });
      const stream = await client.open(80);
      await once(stream, 'data');
      const gone = once(session.gone, 'abort');
      await Promise.all([client[Symbol.asyncDispose](), gone]);
      await Promise.all(closed);
      assert.deepEqual(await session.connections[Symbol.asyncIterator]().next(), {
        done: true,
        value: undefined,
      });
      await session[Symbol.asyncDispose]();
    });

    it('ends the connections when the server disposes of the session', async (t) => {
      const { client, session } = await connect(t, way, ({ data }) => data.write('up'));
      const stream = await client.open(80);
      await once(stream, 'data');
      stream.resume();
      const closed = new Promise((resolve) => stream.once('close', resolve));
      const disposed = session[Symbol.asyncDispose]();
      if (!client.gone.aborted) {
        await once(client.gone, 'abort');
      }
      await client[Symbol.asyncDispose]();
      await Promise.all([disposed, isMultiplexed ? closed : undefined]);
      assert.equal(session.gone.aborted, true);
    });

    if (isMultiplexed) {
      it('ends one side of a connection and goes on with the other', async (t) => {
        const { client } = await connect(t, way, async ({ data }) => {
          data.end(`counted ${(await buffer(data)).length}`);
        });
        const stream = await client.open(80);
        stream.end(Buffer.alloc(100_000));
        assert.equal(await text(stream), 'counted 100000');
      });

      it('serves 100 connections at once', async (t) => {
        const { client } = await connect(t, way, ({ data }) =>
          pipeline(data, data).catch(() => {}),
        );
        const echoes = Array.from({ length: 100 }, async (_, i) => {
          const stream = await client.open(1000 + i);
          stream.end(`number ${i}`.repeat(1000));
          return text(stream);
        });
        for (const [i, echo] of (await Promise.all(echoes)).entries()) {
          assert.equal(echo, `number ${i}`.repeat(1000));
        }
      });
    } else {
      it('closes with 1000 when all of its connections are over', async (t) => {
        const served = await servePorts(t, { ports: [80, 443] });
        const { socket } = await dialWebSocket(served.url, way.protocols ?? [], way);
        const closed = once(socket, 'close');
        const messages: Buffer[] = [];
        socket.on('message', (data: Buffer) => messages.push(data));
        socket.resume();
        const session = await served.session;
        void serve(session, (c) => (c.port === 80 ? c.data.end('x') : c.fail('no')));
        const [code] = (await closed) as [number];
        assert.equal(code, 1000);
        const isBase64 = /base64/.test(name);
        const seen = messages.map((m) =>
          isBase64
            ? m.toString('latin1', 0, 1) +
              Buffer.from(m.toString('latin1', 1), 'base64').toString('latin1')
            : String(m[0]) + m.toString('latin1', 1),
        );
        assert.deepEqual(seen, ['0P\0', '1P\0', '2\xbb\x01', '3\xbb\x01', '0x', '3no']);
      });
    }
  });
}

describe('port-forward over SPDY, by hand', () => {
  interface Peer {
    readonly connection: SpdyConnection;
    readonly arrived: ForwardedConnection[];
    readonly open: (headers: Readonly<Record<string, string>>) => Promise<SpdyStream>;
  }

  async function dial(t: TestContext, options: Partial<PortForwardOptions> = {}): Promise<Peer> {
    const served = await servePorts(t, options);
    const { socket, head } = await dialSpdy(served.url, ['portforward.k8s.io'], {
      transport: 'spdy',
    });
    const connection = new SpdyConnection(socket, { role: 'client', head });
    t.after(() => connection.destroy());
    const arrived: ForwardedConnection[] = [];
    void serve(await served.session, (forwarded) => {
      arrived.push(forwarded);
      forwarded.data.resume();
      forwarded.data.end(`port ${forwarded.port}`);
    });
    return {
      connection,
      arrived,
      open: (headers) => connection.open(new Map(Object.entries(headers))),
    };
  }

  it('pairs streams by request id, in any order', async (t) => {
    const { open, arrived } = await dial(t);
    const dataB = await open({ streamtype: 'data', port: '81', requestid: 'b' });
    const errorA = await open({ streamtype: 'error', port: '80', requestid: 'a' });
    const errorB = await open({ streamtype: 'error', port: '81', requestid: 'b' });
    const dataA = await open({ streamtype: 'data', port: '80', requestid: 'a' });
    assert.equal(await text(dataA), 'port 80');
    assert.equal(await text(dataB), 'port 81');
    assert.deepEqual([await text(errorA), await text(errorB)], ['', '']);
    assert.deepEqual(
      arrived.map(({ port }) => port),
      [81, 80],
    );
  });

  it('pairs streams without request id by the order of their ids', async (t) => {
    const { open } = await dial(t);
    const error = await open({ streamtype: 'error', port: '80' });
    const data = await open({ streamtype: 'data', port: '80' });
    assert.equal(await text(data), 'port 80');
    assert.equal(await text(error), '');
  });

  it('takes an id again when its connection is over', async (t) => {
    const { open } = await dial(t);
    for (let i = 0; i < 3; i++) {
      await open({ streamtype: 'error', port: '80', requestid: '7' });
      const data = await open({ streamtype: 'data', port: '80', requestid: '7' });
      assert.equal(await text(data), 'port 80');
      data.end();
      await new Promise((resolve) => data.once('close', resolve));
      // The server has seen the end when it answers what was sent after it.
      await open({ streamtype: 'error', port: '1', requestid: `after ${i}` });
    }
  });

  it('has room for 600 connections that stay', async (t) => {
    const { open, arrived } = await dial(t);
    for (let i = 0; i < 600; i++) {
      await open({ streamtype: 'error', port: '80', requestid: `${i}` });
      await open({ streamtype: 'data', port: '80', requestid: `${i}` });
    }
    assert.equal(arrived.length, 600);
  });

  it('resets streams that can be no half of a pair, and goes on', async (t) => {
    const { open, connection } = await dial(t);
    for (const headers of [
      { streamtype: 'data' },
      { streamtype: 'data', port: '0' },
      { streamtype: 'data', port: '65536' },
      { streamtype: 'data', port: '80x' },
      { streamtype: 'data', port: '-1' },
      { port: '80' },
      { streamtype: 'stdin', port: '80' },
    ]) {
      await assert.rejects(open(headers as Record<string, string>), /refused, status 5/);
    }
    await open({ streamtype: 'error', port: '65535', requestid: '0' });
    const data = await open({ streamtype: 'data', port: '65535', requestid: '0' });
    assert.equal(await text(data), 'port 65535');
    assert.equal(connection.gone.aborted, false);
  });

  it('tells of a stream that was opened twice, and of two ports', async (t) => {
    const { open, arrived } = await dial(t);
    const error = await open({ streamtype: 'error', port: '80', requestid: '0' });
    await assert.rejects(open({ streamtype: 'error', port: '80', requestid: '0' }));
    assert.equal(await text(error), 'request 0: error stream was opened twice');
    const other = await open({ streamtype: 'error', port: '80', requestid: '1' });
    await open({ streamtype: 'data', port: '81', requestid: '1' });
    assert.match(await text(other), /different ports/);
    assert.equal(arrived.length, 0);
  });

  it('resets a pair that was not completed in time, without a text for which its client would have to be there', async (t) => {
    // The time is passed by hand: a host that is held up would find it passed before both are open.
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { open } = await dial(t, { creationTimeoutMs: 50 });
    const streams = [
      await open({ streamtype: 'error', port: '80', requestid: '0' }),
      await open({ streamtype: 'data', port: '80', requestid: '1' }),
    ];
    const ends = streams.map(async (stream) => {
      const reset = once(stream, 'reset') as Promise<[number]>;
      return [await text(stream), (await reset)[0]] as const;
    });
    t.mock.timers.tick(50);
    assert.deepEqual(await Promise.all(ends), [
      ['', 5],
      ['', 5],
    ]);
  });

  it('gives a stream that the client has reset to its handler as closed', async (t) => {
    const { open, arrived } = await dial(t);
    await open({ streamtype: 'error', port: '80', requestid: '0' });
    const data = await open({ streamtype: 'data', port: '80', requestid: '0' });
    await text(data);
    data.reset();
    const far = arrived[0]?.data;
    assert.ok(far);
    far.resume();
    if (!far.closed) {
      await once(far, 'close');
    }
  });

  it('is over when the client is silent for too long', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const served = await servePorts(t, { idleTimeoutMs: 30 });
    const { socket } = await dialSpdy(served.url, ['portforward.k8s.io'], { transport: 'spdy' });
    t.after(() => socket.destroy());
    const session = await served.session;
    t.mock.timers.tick(29);
    assert.equal(session.gone.aborted, false);
    t.mock.timers.tick(1);
    assert.equal((session.gone.reason as { kind: string }).kind, 'deadline-exceeded');
    socket.destroy();
    await served.socketClosed;
  });

  it('ends at once when the server stops', async (t) => {
    const abort = new AbortController();
    const served = await servePorts(t, { signal: abort.signal });
    const client = await dialPortForward(served.url, { transport: 'websocket' });
    const session = await served.session;
    abort.abort(new Error('stopping'));
    assert.equal(session.gone.aborted, true);
    await served.socketClosed;
    await client[Symbol.asyncDispose]();
  });
});

it('a port can be opened once over channels', async (t) => {
  const served = await servePorts(t, { ports: [80] });
  const client = await dialPortForward(served.url, {
    transport: 'websocket',
    protocols: ['v4.channel.k8s.io'],
    ports: [80],
  });
  t.after(() => client[Symbol.asyncDispose]());
  await client.open(80);
  await assert.rejects(client.open(80), { kind: 'failed-precondition' });
  await assert.rejects(client.open(81), { kind: 'failed-precondition' });
});
