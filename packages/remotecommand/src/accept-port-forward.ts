import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { prepare } from './accept-remote-command.ts';
import { openWebSocket } from './open-web-socket.ts';
import { portChannelProtocols, portForwardProtocol, tunnelProtocol } from './protocols.ts';
import type { PortForwardOptions, PortForwardSession } from './session.ts';
import { servePortForward } from './spdy-port-forward.ts';
import { negotiate, refuse, writeSwitchingProtocols } from './upgrade.ts';
import { WebSocketDuplex } from './web-socket-duplex.ts';
import { servePortChannels } from './web-socket-port-forward.ts';

const maxChannelPorts = 128;

/**
 * Serves port-forward to the client whose request an `http` server told of by
 * 'upgrade': over SPDY, over SPDY inside a WebSocket, or over WebSocket channels.
 * Settles after its 101, or rejects after its 400 or 403. It owns `socket` from
 * the call on.
 */
export async function acceptPortForward(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: PortForwardOptions,
): Promise<PortForwardSession> {
  prepare(socket, options.signal);
  const { transport, protocol } = negotiate(request, socket, {
    spdy: [portForwardProtocol],
    webSocket: [tunnelProtocol, ...portChannelProtocols.map(({ name }) => name)],
  });
  if (transport === 'spdy') {
    writeSwitchingProtocols(socket, protocol);
    return servePortForward(socket, head, protocol, options);
  }
  const channelProtocol = portChannelProtocols.find(({ name }) => name === protocol);
  if (channelProtocol === undefined) {
    const webSocket = await openWebSocket(request, socket, head, protocol);
    return servePortForward(new WebSocketDuplex(webSocket), Buffer.alloc(0), protocol, options);
  }
  // Two channels a port, and channel numbers are bytes.
  if (options.ports.length === 0 || options.ports.length > maxChannelPorts) {
    const message = `unable to upgrade: port-forward over ${protocol || 'a WebSocket'} needs 1 to ${maxChannelPorts} ports in the request, not ${options.ports.length}`;
    throw refuse(socket, { status: 400, message });
  }
  const webSocket = await openWebSocket(request, socket, head, protocol);
  return servePortChannels(webSocket, channelProtocol, options);
}
