export { acceptPortForward } from './accept-port-forward.ts';
export { acceptRemoteCommand } from './accept-remote-command.ts';
export type {
  DialOptions,
  DialPortForwardOptions,
  DialRemoteCommandOptions,
  PortForwardClient,
  RemoteCommandClient,
} from './client.ts';
export { dialPortForward } from './dial-port-forward.ts';
export { dialRemoteCommand } from './dial-remote-command.ts';
export { commandProtocols } from './protocols.ts';
export type {
  CommandStatus,
  ForwardedConnection,
  PortForwardOptions,
  PortForwardSession,
  RemoteCommandOptions,
  RemoteCommandSession,
  TerminalSize,
} from './session.ts';
export { refuseWithoutUpgrade } from './upgrade.ts';
