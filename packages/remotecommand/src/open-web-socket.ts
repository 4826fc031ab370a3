import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import { type WebSocket, WebSocketServer } from 'ws';
import { maxMessageBytes } from './protocols.ts';
import { refuse } from './upgrade.ts';

/**
 * Completes the handshake of a request on whose sub-protocol both agree; an
 * empty one is not named. Throws after it has answered when the request is not
 * one of RFC 6455.
 */
export async function openWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
): Promise<WebSocket> {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    // Text channels carry base64, and names in close frames mean nothing to us.
    skipUTF8Validation: true,
  });
  // `ws` takes a name with a slash, as the tunnel has one, for a syntax error.
  if (protocol !== '') {
    server.once('headers', (lines) => lines.push(`Sec-WebSocket-Protocol: ${protocol}`));
  }
  const { 'sec-websocket-protocol': _, ...headers } = request.headers;
  const nameless = Object.create(request, { headers: { value: headers } }) as IncomingMessage;
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  server.once('wsClientError', ({ message }) => {
    reject(refuse(socket, { status: 400, message: `unable to upgrade: ${message}` }));
  });
  const leave = (): void => {
    reject(new RuntimeError('unavailable', 'client left during the handshake'));
  };
  socket.once('close', leave);
  if (socket.closed) {
    leave();
  }
  server.handleUpgrade(nameless, socket, head, (webSocket) => {
    socket.removeListener('close', leave);
    resolve(webSocket);
  });
  return promise;
}
