import { RuntimeError } from '@gantry/errors';
import type { WebSocket } from 'ws';
import { ChannelSocket } from './channel-socket.ts';
import { ChannelStream } from './channel-stream.ts';
import type { DialPortForwardOptions, PortForwardClient } from './client.ts';
import type { ChannelProtocol } from './protocols.ts';
import { pingIntervalMs } from './protocols.ts';

/** The server begins each channel with its port, two bytes, little-endian. */
const prefixBytes = 2;
const normalClosure = 1000;

/** The client's side of `servePortChannels`. */
export function dialPortChannels(
  webSocket: WebSocket,
  protocol: ChannelProtocol,
  { ports = [], signal }: DialPortForwardOptions,
): PortForwardClient {
  const left = new Map<number, number>();
  const wire: ChannelSocket = new ChannelSocket(webSocket, {
    isBase64: protocol.isBase64,
    hasCloseSignal: false,
    idleTimeoutMs: 0,
    handlers: {
      message: (channel, payload) => {
        const skip = Math.min(left.get(channel) ?? prefixBytes, payload.length);
        left.set(channel, (left.get(channel) ?? prefixBytes) - skip);
        onPayload(channel, payload.subarray(skip));
      },
      closed: () => {},
    },
  });
  const streams = ports.map(
    (_, i) => new ChannelStream(wire, 2 * i, { isReadable: true, isWritable: true }),
  );
  const onPayload = (channel: number, payload: Buffer): void => {
    const stream = streams[Math.floor(channel / 2)];
    if (payload.length === 0) {
      return;
    }
    if (channel % 2 === 0) {
      stream?.receive(payload);
    } else {
      stream?.destroy(new RuntimeError('unavailable', payload.toString()));
    }
  };
  const pinger = setInterval(() => webSocket.ping(), pingIntervalMs);
  const stop = (): void => wire.destroy(new RuntimeError('canceled', 'canceled'));
  signal?.addEventListener('abort', stop, { once: true });
  webSocket.once('close', (code) => {
    clearInterval(pinger);
    signal?.removeEventListener('abort', stop);
    for (const stream of streams) {
      if (code === normalClosure) {
        stream.finishInput();
      } else {
        stream.destroy(new RuntimeError('unavailable', `connection was closed with code ${code}`));
      }
    }
  });
  webSocket.resume();
  const unopened = new Set(streams.keys());
  return {
    protocol: protocol.name,
    gone: wire.gone,
    open: async (port) => {
      const i = [...unopened].find((at) => ports[at] === port) ?? -1;
      const stream = streams[i];
      if (stream === undefined) {
        throw new RuntimeError(
          'failed-precondition',
          `open a connection to port ${port}: ${protocol.name} has one connection for each port of the request`,
        );
      }
      unopened.delete(i);
      return stream;
    },
    [Symbol.asyncDispose]: () => wire.close(),
  };
}
