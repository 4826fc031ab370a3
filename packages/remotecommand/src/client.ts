import type { Duplex, Readable, Writable } from 'node:stream';
import type { CommandStatus, TerminalSize } from './session.ts';

export interface DialOptions {
  readonly transport: 'spdy' | 'websocket';
  /** PEM, for https URLs whose certificate no known authority has signed. */
  readonly ca?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Cancels the dial, and later ends the connection. */
  readonly signal?: AbortSignal;
  /** What to offer, best first; the newest versions when left out. */
  readonly protocols?: readonly string[];
}

export interface DialRemoteCommandOptions extends DialOptions {
  readonly stdin?: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface RemoteCommandClient extends AsyncDisposable {
  readonly protocol: string;
  /** Its end is the half-close, where the version has one (SPDY, v5). */
  readonly stdin?: Writable;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
  /** Does nothing without a tty. */
  resize(size: TerminalSize): void;
  /** Settles when the server has told it; rejects when the connection ends without one. */
  readonly status: Promise<CommandStatus>;
}

export interface DialPortForwardOptions extends DialOptions {
  /**
   * The ports in the order of the CRI request, for protocols that carry no
   * port numbers (`v4.channel.k8s.io`). Not needed for SPDY and the tunnel.
   */
  readonly ports?: readonly number[];
}

export interface PortForwardClient extends AsyncDisposable {
  readonly protocol: string;
  /** A new connection to the port of the pod. Its 'error' event carries the server's message. */
  open(port: number): Promise<Duplex>;
  /** Aborts when the connection to the server is over. */
  readonly gone: AbortSignal;
}
