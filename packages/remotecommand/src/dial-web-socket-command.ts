import { RuntimeError } from '@gantry/errors';
import type { WebSocket } from 'ws';
import { ChannelSocket } from './channel-socket.ts';
import { ChannelStream } from './channel-stream.ts';
import type { DialRemoteCommandOptions, RemoteCommandClient } from './client.ts';
import { statusIn } from './command-status.ts';
import { dialWebSocket } from './dial-upgrade.ts';
import {
  type ChannelProtocol,
  channelProtocols,
  channels,
  closeChannel,
  pingIntervalMs,
} from './protocols.ts';

const normalClosure = 1000;
const maxStatusBytes = 1024 * 1024;

/** Exec or attach over a WebSocket; offers v5 and v4 unless told otherwise. */
export async function dialWebSocketCommand(
  url: string,
  options: DialRemoteCommandOptions,
): Promise<RemoteCommandClient> {
  const offered = options.protocols ?? ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
  const { socket: webSocket, protocol: name } = await dialWebSocket(url, offered, options);
  const protocol = channelProtocols.find((known) => known.name === name);
  if (protocol === undefined) {
    webSocket.terminate();
    throw new RuntimeError('unavailable', `${name} is no protocol of exec and attach`);
  }
  const client = connect(webSocket, protocol, options);
  webSocket.resume();
  return client;
}

function connect(
  webSocket: WebSocket,
  { name, version, isBase64 }: ChannelProtocol,
  options: DialRemoteCommandOptions,
): RemoteCommandClient {
  const { signal } = options;
  const input = new Map<number, ChannelStream>();
  let words = '';
  const wire: ChannelSocket = new ChannelSocket(webSocket, {
    isBase64,
    hasCloseSignal: false,
    idleTimeoutMs: 0,
    handlers: {
      message: (channel, payload) => {
        if (channel === channels.error && words.length < maxStatusBytes) {
          words += payload.toString();
        }
        input.get(channel)?.receive(payload);
      },
      closed: () => {},
    },
  });
  const read = (channel: number): ChannelStream => {
    const stream = new ChannelStream(wire, channel, { isReadable: true, isWritable: false });
    input.set(channel, stream);
    return stream;
  };
  const stdout = options.stdout ? read(channels.stdout) : undefined;
  const stderr = options.stderr ? read(channels.stderr) : undefined;
  const stdin = options.stdin === true ? openStdin(wire, version) : undefined;
  const pinger = setInterval(() => webSocket.ping(), pingIntervalMs);
  const stop = (): void => wire.destroy(new RuntimeError('canceled', 'canceled'));
  signal?.addEventListener('abort', stop, { once: true });
  const status = Promise.withResolvers<Awaited<RemoteCommandClient['status']>>();
  status.promise.catch(() => {});
  webSocket.once('close', (code) => {
    clearInterval(pinger);
    signal?.removeEventListener('abort', stop);
    const lost = new RuntimeError('unavailable', `connection was closed with code ${code}`);
    const isOrderly = code === normalClosure;
    for (const stream of [stdout, stderr]) {
      if (isOrderly) {
        stream?.finishInput();
      } else {
        stream?.destroy(lost);
      }
    }
    stdin?.destroy();
    try {
      if (!isOrderly && words === '') {
        throw lost;
      }
      status.resolve(statusIn(version, words));
    } catch (error) {
      status.reject(error);
    }
  });
  return {
    protocol: name,
    status: status.promise,
    ...(stdin && { stdin }),
    ...(stdout && { stdout }),
    ...(stderr && { stderr }),
    resize: ({ width, height }) => {
      if (options.tty && !wire.gone.aborted) {
        wire.send(channels.resize, Buffer.from(JSON.stringify({ Width: width, Height: height })));
      }
    },
    [Symbol.asyncDispose]: () => wire.close(),
  };
}

function openStdin(wire: ChannelSocket, version: string): ChannelStream {
  const stdin = new ChannelStream(wire, channels.stdin, { isReadable: false, isWritable: true });
  stdin.once('finish', () => {
    // Only v5 can tell the end of stdin.
    if (version === 'v5.channel.k8s.io' && !wire.gone.aborted) {
      wire.send(closeChannel, Buffer.from([channels.stdin]));
    }
  });
  return stdin;
}
