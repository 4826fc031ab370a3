import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { kindOf, RuntimeError } from '@gantry/errors';
import { SpdyConnection } from '@gantry/spdy';
import type { DialPortForwardOptions, PortForwardClient } from './client.ts';
import { dialPortChannels } from './dial-port-channels.ts';
import { dialSpdy, dialWebSocket } from './dial-upgrade.ts';
import { DialedConnection } from './dialed-connection.ts';
import {
  pingIntervalMs,
  portChannelProtocols,
  portForwardProtocol,
  tunnelProtocol,
} from './protocols.ts';
import { WebSocketDuplex } from './web-socket-duplex.ts';

/**
 * Connects to the URL that PortForward answered: over SPDY, or over a WebSocket
 * with SPDY inside. With `protocols: ['v4.channel.k8s.io']` (or its base64
 * variant) over channels: then `ports` must be those of the request, and each
 * can be opened once.
 */
export async function dialPortForward(
  url: string,
  options: DialPortForwardOptions,
): Promise<PortForwardClient> {
  if (options.transport === 'spdy') {
    const offered = options.protocols ?? [portForwardProtocol];
    const { socket, head, protocol } = await dialSpdy(url, offered, options);
    return overSpdy(socket, head, protocol, options.signal);
  }
  const offered = options.protocols ?? [tunnelProtocol];
  const { socket: webSocket, protocol } = await dialWebSocket(url, offered, options);
  const channelProtocol = portChannelProtocols.find(({ name }) => name === protocol);
  if (channelProtocol !== undefined) {
    return dialPortChannels(webSocket, channelProtocol, options);
  }
  const transport = new WebSocketDuplex(webSocket);
  webSocket.resume();
  return overSpdy(transport, Buffer.alloc(0), protocol, options.signal);
}

function overSpdy(
  transport: Duplex,
  head: Buffer,
  protocol: string,
  signal: AbortSignal | undefined,
): PortForwardClient {
  const connection = new SpdyConnection(transport, { role: 'client', head, pingIntervalMs });
  const stop = (): void => connection.destroy();
  signal?.addEventListener('abort', stop, { once: true });
  connection.gone.addEventListener('abort', () => signal?.removeEventListener('abort', stop));
  let nextRequest = 0;
  return {
    protocol,
    gone: connection.gone,
    open: (port) => openPair(connection, port, nextRequest++),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

async function openPair(connection: SpdyConnection, port: number, id: number): Promise<Duplex> {
  const headers = (type: string): ReadonlyMap<string, string> =>
    new Map([
      ['streamtype', type],
      ['port', String(port)],
      ['requestid', String(id)],
    ]);
  try {
    const error = await connection.open(headers('error'));
    error.end();
    const data = await connection.open(headers('data'));
    return new DialedConnection(data, text(error));
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), `open a connection to port ${port}`, { cause });
  }
}
