/** What a client may ask for, best first. Between them the versions differ in how they tell a status. */
export const commandProtocols: readonly string[] = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
];

/** Over SPDY, v3 brought the stream for terminal sizes. */
export function hasResize(protocol: string): boolean {
  return protocol !== 'channel.k8s.io' && protocol !== 'v2.channel.k8s.io';
}

export const portForwardProtocol = 'portforward.k8s.io';
/** SPDY frames as the payload of WebSocket messages. */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';

/** A WebSocket sub-protocol of channels: each message is a channel number and bytes. */
export interface ChannelProtocol {
  /** As in the header; empty for a client that names none. */
  readonly name: string;
  /** The version of `commandProtocols` whose rules it follows. */
  readonly version: string;
  /** Text messages: the number as a digit, then base64. */
  readonly isBase64: boolean;
}

const plain = 'channel.k8s.io';

export const channelProtocols: readonly ChannelProtocol[] = [
  { name: 'v5.channel.k8s.io', version: 'v5.channel.k8s.io', isBase64: false },
  { name: 'v4.channel.k8s.io', version: 'v4.channel.k8s.io', isBase64: false },
  { name: 'v4.base64.channel.k8s.io', version: 'v4.channel.k8s.io', isBase64: true },
  { name: plain, version: plain, isBase64: false },
  { name: 'base64.channel.k8s.io', version: plain, isBase64: true },
  { name: '', version: plain, isBase64: false },
];

/** Those that can forward ports: the numbers come from the CRI request. */
export const portChannelProtocols: readonly ChannelProtocol[] = channelProtocols.filter(
  ({ name, version }) => version === 'v4.channel.k8s.io' || name === '',
);

export const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
/** v5: the channel of the message that closes the channel in its second byte. */
export const closeChannel = 255;
/** As the Go runtimes read. */
export const maxMessageBytes = 32 * 1024 * 1024;
/** How often our clients ping, so that no proxy and no server takes a quiet shell for a dead one. */
export const pingIntervalMs = 30_000;
