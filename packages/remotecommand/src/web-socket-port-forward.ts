import { kindOf, RuntimeError } from '@gantry/errors';
import type { WebSocket } from 'ws';
import { Arrivals } from './arrivals.ts';
import { ChannelSocket } from './channel-socket.ts';
import { ChannelStream } from './channel-stream.ts';
import type { ChannelProtocol } from './protocols.ts';
import type { ForwardedConnection, PortForwardOptions, PortForwardSession } from './session.ts';

/**
 * Serves port-forward on numbered channels: port i of the request has channel
 * 2i for data and 2i+1 for an error text, and one connection. The WebSocket
 * closes when all of them are over.
 */
export function servePortChannels(
  webSocket: WebSocket,
  protocol: ChannelProtocol,
  { ports, idleTimeoutMs, signal }: PortForwardOptions,
): PortForwardSession {
  const connections = new Arrivals<ForwardedConnection>();
  const streams: ChannelStream[] = [];
  const wire: ChannelSocket = new ChannelSocket(webSocket, {
    isBase64: protocol.isBase64,
    hasCloseSignal: false,
    idleTimeoutMs,
    handlers: {
      message: (channel, payload) => {
        if (channel % 2 === 0) {
          streams[channel / 2]?.receive(payload);
        }
      },
      closed: () => {},
    },
  });
  const gone = new AbortController();
  const stop = (): void => {
    wire.destroy(
      new RuntimeError(kindOf(signal.reason), 'session ended', { cause: signal.reason }),
    );
  };
  wire.gone.addEventListener('abort', () => {
    const cause = wire.gone.reason as Error;
    signal.removeEventListener('abort', stop);
    connections.end();
    gone.abort(new RuntimeError(kindOf(cause), 'stream to client', { cause }));
    for (const stream of streams) {
      stream.destroy(kindOf(cause) === 'canceled' ? undefined : cause);
    }
  });
  let open = ports.length;
  for (const [i, port] of ports.entries()) {
    const data = new ChannelStream(wire, 2 * i, { isReadable: true, isWritable: true });
    streams.push(data);
    // No half-close: when the pod has ended its side, the connection is over.
    data.once('finish', () => data.destroy());
    data.once('close', () => {
      open -= 1;
      if (open === 0) {
        void wire.close();
      }
    });
    const portBytes = Buffer.alloc(2);
    portBytes.writeUInt16LE(port);
    wire.send(2 * i, portBytes);
    wire.send(2 * i + 1, portBytes);
    connections.add({ port, data, fail: (message) => fail(wire, 2 * i + 1, data, message) });
  }
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) {
    stop();
  }
  return {
    protocol: protocol.name,
    connections,
    gone: gone.signal,
    [Symbol.asyncDispose]: () => wire.close(),
  };
}

async function fail(
  wire: ChannelSocket,
  channel: number,
  data: ChannelStream,
  message: string,
): Promise<void> {
  if (!wire.gone.aborted && !data.destroyed) {
    const { promise, resolve } = Promise.withResolvers<void>();
    wire.send(channel, Buffer.from(message), () => resolve());
    await promise;
  }
  data.destroy();
}
