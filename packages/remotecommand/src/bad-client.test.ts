import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { messageOf } from '@gantry/errors';
import { SpdyConnection, type SpdyStream } from '@gantry/spdy';
import type { WebSocket } from 'ws';
import { dialSpdy, dialWebSocket } from './dial-upgrade.ts';
import type { RemoteCommandOptions, RemoteCommandSession } from './session.ts';
import { type Served, serveCommand } from './testing.ts';

const v4 = 'v4.channel.k8s.io';

interface SpdyPeer {
  readonly served: Served<RemoteCommandSession>;
  readonly connection: SpdyConnection;
  readonly open: (type: string | undefined) => Promise<SpdyStream>;
}

async function dialRaw(
  t: TestContext,
  options: Partial<RemoteCommandOptions> = {},
  protocol = v4,
): Promise<SpdyPeer> {
  const served = await serveCommand(t, options);
  const { socket, head } = await dialSpdy(served.url, [protocol], { transport: 'spdy' });
  const connection = new SpdyConnection(socket, { role: 'client', head });
  t.after(() => connection.destroy());
  return {
    served,
    connection,
    open: (type) => connection.open(new Map(type === undefined ? [] : [['streamtype', type]])),
  };
}

async function openAll({ open }: SpdyPeer, types: readonly string[]): Promise<SpdyStream[]> {
  const streams: SpdyStream[] = [];
  for (const type of types) {
    streams.push(await open(type));
  }
  return streams;
}

/** The reason, with its causes, why the session ended or never began. */
async function reasonOf(served: Served<RemoteCommandSession>): Promise<string> {
  try {
    const session = await served.session;
    if (!session.gone.aborted) {
      await once(session.gone, 'abort');
    }
    await session.finish({ success: true });
    return messageOf(session.gone.reason);
  } catch (error) {
    return messageOf(error);
  }
}

function errorText(message: string): string {
  return JSON.stringify({
    metadata: {},
    status: 'Failure',
    message: `Internal error occurred: ${message}`,
    reason: 'InternalError',
    details: { causes: [{ message }] },
    code: 500,
  });
}

describe('a SPDY client', () => {
  it('that opens a stream of an unknown type is told, and let go', async (t) => {
    const peer = await dialRaw(t);
    const error = await peer.open('error');
    const said = text(error);
    await assert.rejects(peer.open('stdlog'));
    const message = 'client opened a stream "stdlog" which is unknown';
    assert.equal(await said, errorText(message));
    assert.match(await reasonOf(peer.served), new RegExp(message));
    await peer.connection.closed;
    await peer.served.socketClosed;
  });

  it('that opens a stream without a type is let go', async (t) => {
    const peer = await dialRaw(t);
    await assert.rejects(peer.open(undefined));
    assert.match(await reasonOf(peer.served), /opened a stream "" which is unknown/);
    await peer.served.socketClosed;
  });

  it('that opens a stream twice is told, before and after the start', async (t) => {
    for (const types of [
      ['error', 'stdout'],
      ['error', 'stdout', 'stderr'],
    ]) {
      const peer = await dialRaw(t);
      const [error] = await openAll(peer, types);
      assert.ok(error);
      const said = text(error);
      await assert.rejects(peer.open('stdout'));
      assert.equal(await said, errorText('client opened a stream "stdout" twice'));
      assert.match(await reasonOf(peer.served), /"stdout" twice/);
      await peer.served.socketClosed;
    }
  });

  it('that does not open all streams in time is told which, and let go', async (t) => {
    // The time is passed by hand: a host that is held up would find it passed before the streams are open.
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const peer = await dialRaw(t, { creationTimeoutMs: 100, stdin: true });
    const error = await peer.open('error');
    await peer.open('stdout');
    t.mock.timers.tick(100);
    const message = 'client did not open [stdin, stderr] within 100 ms';
    assert.equal(await text(error), errorText(message));
    await assert.rejects(peer.served.session, { kind: 'deadline-exceeded' });
    await peer.served.socketClosed;
  });

  it('that opens nothing at all is let go', async (t) => {
    const peer = await dialRaw(t, { creationTimeoutMs: 20 });
    assert.match(await reasonOf(peer.served), /did not open \[error, stdout, stderr\]/);
    await peer.served.socketClosed;
  });

  it('that leaves before all streams are open leaves nothing behind', async (t) => {
    const peer = await dialRaw(t);
    await peer.open('error');
    peer.connection.destroy();
    assert.match(await reasonOf(peer.served), /peer closed|transport/);
    await peer.served.socketClosed;
  });

  it('that opens streams in any order, and more than were asked for, is served', async (t) => {
    const peer = await dialRaw(t);
    const [resize, stderr, stdin, stdout, error] = await openAll(peer, [
      'resize',
      'stderr',
      'stdin',
      'stdout',
      'error',
    ]);
    assert.ok(resize && stderr && stdin && stdout && error);
    const session = await peer.served.session;
    stdin.write('nobody asked');
    resize.write('{"Width":1,"Height":1}');
    session.stdout?.write('out');
    const finished = session.finish({ exitCode: 1 });
    assert.equal(await text(stdout), 'out');
    assert.equal(session.stdin, undefined);
    assert.match(await text(error), /NonZeroExitCode/);
    await peer.connection.close();
    await finished;
  });

  for (const [name, bytes, reason] of [
    ['garbage', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /DATA with flags 47/],
    ['a control frame that is too long', Buffer.from('8003000100ffffff', 'hex'), /16777215 bytes/],
    [
      'a bad header block',
      Buffer.from('8003000100000010'.padEnd(48, '0'), 'hex'),
      /stream id 0|zlib/,
    ],
    ['data for a stream that is not there', Buffer.from('0000000900000001ff', 'hex'), /stream 9/],
  ] as const) {
    it(`that sends ${name} is let go`, async (t) => {
      const served = await serveCommand(t);
      const { socket } = await dialSpdy(served.url, [v4], { transport: 'spdy' });
      t.after(() => socket.destroy());
      socket.write(bytes);
      assert.match(await reasonOf(served), reason);
      socket.resume();
      await once(socket, 'end');
      socket.destroy();
      await served.socketClosed;
    });
  }

  it('that sends sizes which are none is told, and let go', async (t) => {
    const peer = await dialRaw(t, { tty: true, stderr: false });
    const [error, , resize] = await openAll(peer, ['error', 'stdout', 'resize']);
    assert.ok(error && resize);
    const said = text(error);
    resize.write('{"Width":"wide"}');
    assert.match(await said, /malformed terminal size/);
    assert.match(await reasonOf(peer.served), /malformed terminal size/);
    await peer.served.socketClosed;
  });

  it('that is silent for too long is let go', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const peer = await dialRaw(t, { idleTimeoutMs: 50 });
    await openAll(peer, ['error', 'stdout', 'stderr']);
    const session = await peer.served.session;
    t.mock.timers.tick(49);
    assert.equal(session.gone.aborted, false);
    t.mock.timers.tick(1);
    assert.equal((session.gone.reason as { kind: string }).kind, 'deadline-exceeded');
    await session[Symbol.asyncDispose]();
    await peer.served.socketClosed;
  });

  it('loses its connection at once when the server stops', async (t) => {
    const abort = new AbortController();
    const peer = await dialRaw(t, { signal: abort.signal });
    const [, stdout] = await openAll(peer, ['error', 'stdout', 'stderr']);
    const session = await peer.served.session;
    abort.abort(new Error('stopping'));
    assert.match(messageOf(session.gone.reason), /stopping/);
    await peer.served.socketClosed;
    await session[Symbol.asyncDispose]();
    await peer.connection.closed;
    assert.ok(stdout?.destroyed);
  });

  it('sees a plain end when the session is disposed of without a status', async (t) => {
    const peer = await dialRaw(t);
    const [error] = await openAll(peer, ['error', 'stdout', 'stderr']);
    const session = await peer.served.session;
    const disposed = session[Symbol.asyncDispose]();
    assert.ok(error);
    assert.equal(await text(error), '');
    await peer.connection.close();
    await disposed;
    assert.equal(session.gone.aborted, false);
  });
});

describe('a WebSocket client', () => {
  async function dial(
    t: TestContext,
    protocol: string,
    options: Partial<RemoteCommandOptions> = {},
  ): Promise<{ socket: WebSocket; served: Served<RemoteCommandSession>; code: Promise<number> }> {
    const served = await serveCommand(t, options);
    const { socket } = await dialWebSocket(served.url, [protocol], { transport: 'websocket' });
    t.after(() => socket.terminate());
    const code = once(socket, 'close').then(([value]) => value as number);
    socket.resume();
    return { socket, served, code };
  }

  it('that closes a channel in the wrong words is let go', async (t) => {
    for (const bytes of [[255], [255, 0, 0]]) {
      const { socket, served, code } = await dial(t, 'v5.channel.k8s.io', { stdin: true });
      socket.send(Buffer.from(bytes));
      assert.equal(await code, 1002);
      assert.match(await reasonOf(served), /close signal without one channel number/);
      await served.socketClosed;
    }
  });

  it('that sends what is not base64 is let go', async (t) => {
    for (const message of ['0not!base64', '0====', '0a=b']) {
      const { socket, served, code } = await dial(t, 'v4.base64.channel.k8s.io', { stdin: true });
      socket.send(message);
      assert.equal(await code, 1002);
      assert.match(await reasonOf(served), /not base64/);
    }
  });

  it('that sends sizes which are none is let go', async (t) => {
    const { socket, served, code } = await dial(t, v4, { tty: true, stderr: false });
    socket.send(Buffer.from('\x04[80,24]'));
    assert.equal(await code, 1002);
    assert.match(await reasonOf(served), /malformed terminal size/);
  });

  it('that sends more than a message may hold is let go', async (t) => {
    const { socket, served } = await dial(t, v4, { stdin: true });
    // Only the header of a frame of 4 GiB: nothing may wait for the rest.
    (socket as unknown as { _socket: { write(b: Buffer): void } })._socket.write(
      Buffer.from('82ff000000010000000000000000', 'hex'),
    );
    assert.match(await reasonOf(served), /Max payload size exceeded/);
    socket.terminate();
    await served.socketClosed;
  });

  it('that sends bytes which are no frame is let go', async (t) => {
    for (const bytes of ['ffffffff', '8201ff', '00']) {
      const { socket, served } = await dial(t, v4, { stdin: true });
      (socket as unknown as { _socket: { write(b: Buffer): void } })._socket.write(
        Buffer.from(bytes, 'hex').subarray(0),
      );
      if (bytes === '00') {
        socket.send('x');
      }
      assert.match(await reasonOf(served), /websocket failed: .+/);
      socket.terminate();
      await served.socketClosed;
    }
  });

  it('may send empty messages, unknown channels, and channels that nobody reads', async (t) => {
    const { socket, served, code } = await dial(t, v4, { stdin: true });
    const session = await served.session;
    for (const message of ['', '\x07x', '\x01x', '\x04junk', '\xff\x00', '\x00', '\x00kept']) {
      socket.send(Buffer.from(message, 'latin1'));
    }
    assert.ok(session.stdin);
    const [chunk] = (await once(session.stdin, 'data')) as [Buffer];
    assert.equal(chunk.toString(), 'kept');
    const finished = session.finish({ success: true });
    assert.equal(await code, 1000);
    await finished;
  });

  it('may cut a message into frames, and send text where bytes are usual', async (t) => {
    const { socket, served } = await dial(t, v4, { stdin: true });
    const session = await served.session;
    socket.send(Buffer.from([0, 0x61]), { fin: false });
    socket.send(Buffer.from('b'), { fin: true });
    socket.send('\x00c', { binary: false });
    assert.ok(session.stdin);
    let read = '';
    for await (const chunk of session.stdin as AsyncIterable<Buffer>) {
      read += chunk.toString();
      if (read === 'abc') {
        break;
      }
    }
    assert.equal(read, 'abc');
  });

  it('ends stdin by v5 only, and no other channel', async (t) => {
    const { socket, served } = await dial(t, 'v5.channel.k8s.io', { stdin: true });
    const session = await served.session;
    assert.ok(session.stdin);
    const all = text(session.stdin);
    socket.send(Buffer.from([255, 1]));
    socket.send(Buffer.from([255, 77]));
    socket.send(Buffer.from('\x00before'));
    socket.send(Buffer.from([255, 0]));
    socket.send(Buffer.from('\x00after'));
    socket.send(Buffer.from([255, 0]));
    assert.equal(await all, 'before');
    assert.equal(session.gone.aborted, false);
  });

  it('that is silent for too long is let go, one that pings is not', async (t) => {
    const idleTimeoutMs = 600;
    const { socket, served } = await dial(t, v4, { idleTimeoutMs });
    const session = await served.session;
    const gone = once(session.gone, 'abort');
    const start = performance.now();
    let longestSilenceMs = 0;
    while (!session.gone.aborted && performance.now() - start < 900) {
      const saidAt = performance.now();
      socket.ping();
      await Promise.race([once(socket, 'pong'), gone]);
      await new Promise((resolve) => setTimeout(resolve, 10));
      longestSilenceMs = Math.max(longestSilenceMs, performance.now() - saidAt);
    }
    // A host that was held up as long has let it go rightly.
    assert.ok(
      !session.gone.aborted || longestSilenceMs >= idleTimeoutMs,
      'its pings were not heard',
    );
    await gone;
    assert.equal((session.gone.reason as { kind: string }).kind, 'deadline-exceeded');
    await session[Symbol.asyncDispose]();
    await served.socketClosed;
  });

  it('loses its connection at once when the server stops', async (t) => {
    const abort = new AbortController();
    const { served, code } = await dial(t, v4, { signal: abort.signal });
    const session = await served.session;
    abort.abort(new Error('stopping'));
    assert.match(messageOf(session.gone.reason), /stopping/);
    assert.equal(await code, 1006);
    await served.socketClosed;
    await session[Symbol.asyncDispose]();
  });
});
