import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import type {
  DialPortForwardOptions,
  DialRemoteCommandOptions,
  PortForwardClient,
  RemoteCommandClient,
} from './client.ts';
import type {
  PortForwardOptions,
  PortForwardSession,
  RemoteCommandOptions,
  RemoteCommandSession,
} from './session.ts';

export type {
  DialOptions,
  DialPortForwardOptions,
  DialRemoteCommandOptions,
  PortForwardClient,
  RemoteCommandClient,
} from './client.ts';
export type {
  CommandStatus,
  ForwardedConnection,
  PortForwardOptions,
  PortForwardSession,
  RemoteCommandOptions,
  RemoteCommandSession,
  TerminalSize,
} from './session.ts';

export function acceptRemoteCommand(
  _request: IncomingMessage,
  _socket: Duplex,
  _head: Buffer,
  _options: RemoteCommandOptions,
): Promise<RemoteCommandSession> {
  return Promise.reject(new RuntimeError('unimplemented', 'in the making'));
}

export function acceptPortForward(
  _request: IncomingMessage,
  _socket: Duplex,
  _head: Buffer,
  _options: PortForwardOptions,
): Promise<PortForwardSession> {
  return Promise.reject(new RuntimeError('unimplemented', 'in the making'));
}

export function dialRemoteCommand(
  _url: string,
  _options: DialRemoteCommandOptions,
): Promise<RemoteCommandClient> {
  return Promise.reject(new RuntimeError('unimplemented', 'in the making'));
}

export function dialPortForward(
  _url: string,
  _options: DialPortForwardOptions,
): Promise<PortForwardClient> {
  return Promise.reject(new RuntimeError('unimplemented', 'in the making'));
}
