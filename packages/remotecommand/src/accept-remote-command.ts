import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { channelProtocols, commandProtocols } from './protocols.ts';
import type { RemoteCommandOptions, RemoteCommandSession } from './session.ts';
import { acceptSpdyCommand } from './spdy-command.ts';
import { negotiate } from './upgrade.ts';
import { acceptWebSocketCommand } from './web-socket-command.ts';

/**
 * Serves exec or attach to the client whose request an `http` server told of by
 * 'upgrade'. It answers 101, and settles when the client has opened all streams
 * that `options` name; or it answers 400 or 403 and rejects. It owns `socket`
 * from the call on, whatever comes of it; nothing is left when it rejects.
 */
export async function acceptRemoteCommand(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteCommandOptions,
): Promise<RemoteCommandSession> {
  const supported = options.supportedProtocols ?? commandProtocols;
  const webSocket = channelProtocols.filter(({ version }) => supported.includes(version));
  prepare(socket, options.signal);
  const { transport, protocol } = negotiate(request, socket, {
    spdy: supported,
    webSocket: webSocket.map(({ name }) => name),
  });
  const channelProtocol = webSocket.find(({ name }) => name === protocol);
  if (transport === 'spdy' || channelProtocol === undefined) {
    return acceptSpdyCommand(socket, head, protocol, options);
  }
  return acceptWebSocketCommand(request, socket, head, channelProtocol, options);
}

/** An interactive stream: no delay for small packets, no timeout of the HTTP server. */
export function prepare(socket: Duplex, signal: AbortSignal): void {
  // Until somebody else listens, a client that leaves must not end the process.
  socket.on('error', () => {});
  if (signal.aborted) {
    socket.destroy();
    signal.throwIfAborted();
  }
  if (socket instanceof Socket) {
    socket.setNoDelay(true);
    socket.setTimeout(0);
  }
}
