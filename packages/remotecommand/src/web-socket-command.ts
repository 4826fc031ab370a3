import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { kindOf, RuntimeError } from '@gantry/errors';
import { ChannelSocket } from './channel-socket.ts';
import { ChannelStream } from './channel-stream.ts';
import { CommandSession } from './command-session.ts';
import { Latest } from './latest.ts';
import { openWebSocket } from './open-web-socket.ts';
import { type ChannelProtocol, channels } from './protocols.ts';
import { ResizeDecoder } from './resize-decoder.ts';
import type { RemoteCommandOptions, RemoteCommandSession, TerminalSize } from './session.ts';

/** Serves exec or attach on a socket whose request asked for a WebSocket. */
export async function acceptWebSocketCommand(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: ChannelProtocol,
  options: RemoteCommandOptions,
): Promise<RemoteCommandSession> {
  const { signal } = options;
  const webSocket = await openWebSocket(request, socket, head, protocol.name);
  let stdin: ChannelStream | undefined;
  const sizes = new Latest<TerminalSize>();
  const decoder = new ResizeDecoder();
  const onResize = (payload: Buffer): void => {
    try {
      for (const size of decoder.push(payload)) {
        sizes.put(size);
      }
    } catch (error) {
      wire.fail(error as Error);
    }
  };
  const wire: ChannelSocket = new ChannelSocket(webSocket, {
    isBase64: protocol.isBase64,
    hasCloseSignal: protocol.version === 'v5.channel.k8s.io',
    idleTimeoutMs: options.idleTimeoutMs,
    handlers: {
      message: (channel, payload) => {
        // Others, and those that the request did not ask for, mean nothing.
        if (channel === channels.stdin) {
          stdin?.receive(payload);
        } else if (channel === channels.resize && options.tty) {
          onResize(payload);
        }
      },
      closed: (channel) => {
        if (channel === channels.stdin) {
          stdin?.finishInput();
        }
      },
    },
  });
  if (options.stdin) {
    stdin = new ChannelStream(wire, channels.stdin, { isReadable: true, isWritable: false });
  }
  const output = (channel: number): ChannelStream =>
    new ChannelStream(wire, channel, { isReadable: false, isWritable: true });
  const stdout = options.stdout ? output(channels.stdout) : undefined;
  const stderr = options.stderr ? output(channels.stderr) : undefined;
  const session = new CommandSession(
    {
      ...(stdin && { stdin }),
      ...(stdout && { stdout }),
      ...(stderr && { stderr }),
      sendStatus: (text) => sendStatus(wire, text),
      close: () => wire.close(),
    },
    { protocol: protocol.name, version: protocol.version, sizes },
  );
  if (!options.tty) {
    sizes.end();
  }
  follow(wire, session, [stdin, stdout, stderr], signal);
  // Clients wait for a first message to know that the server is there.
  const first = options.stdout
    ? channels.stdout
    : options.stderr
      ? channels.stderr
      : channels.error;
  wire.send(first, Buffer.alloc(0));
  return session;
}

/** Passes on the end of the connection, and the word of `signal` to end it. */
function follow(
  wire: ChannelSocket,
  session: CommandSession,
  streams: readonly (ChannelStream | undefined)[],
  signal: AbortSignal,
): void {
  const stop = (): void => {
    wire.destroy(
      new RuntimeError(kindOf(signal.reason), 'session ended', { cause: signal.reason }),
    );
  };
  wire.gone.addEventListener('abort', () => {
    const error = wire.gone.reason as Error;
    signal.removeEventListener('abort', stop);
    session.lose(new RuntimeError(kindOf(error), 'stream to client', { cause: error }));
    for (const stream of streams) {
      stream?.destroy(kindOf(error) === 'canceled' ? undefined : error);
    }
  });
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) {
    stop();
  }
}

function sendStatus(wire: ChannelSocket, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  if (text === '') {
    resolve();
  } else {
    wire.send(channels.error, Buffer.from(text), (error) =>
      error === undefined || error === null ? resolve() : reject(error),
    );
  }
  return promise;
}
