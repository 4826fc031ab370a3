import type { Duplex, Readable, Writable } from 'node:stream';

/** What the CRI request asked for, and how long a client may take and keep silent. */
export interface RemoteCommandOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
  /** Without any frame in either direction for so long, the session is gone. */
  readonly idleTimeoutMs: number;
  /** How long the client may take to open all of its streams. */
  readonly creationTimeoutMs: number;
  /** Ends the session at once, whatever it is doing. */
  readonly signal: AbortSignal;
  /** Full names such as `v4.channel.k8s.io`; all versions when left out. */
  readonly supportedProtocols?: readonly string[];
}

/** In character cells; both at least 1. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** How the command ended. Each version of the protocol has its own words for it. */
export type CommandStatus =
  | { readonly success: true }
  | { readonly exitCode: number }
  | { readonly error: string };

/**
 * One client of exec or attach. Ends by `finish`, or without a status by
 * disposal, which is also right after `finish`.
 */
export interface RemoteCommandSession extends AsyncDisposable {
  /** The version that was agreed on, for example `v4.channel.k8s.io`; empty for a WebSocket that named none. */
  readonly protocol: string;
  /**
   * Ends at the client's half-close (v5: its close signal). Destroy it when
   * nobody reads any more (the process is gone): what still comes is then
   * dropped, and does not hold up resizes.
   */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Empty without a tty; of sizes that nobody took only the newest is kept; ends with the connection. */
  readonly resizes: AsyncIterable<TerminalSize>;
  /** Aborts when the client vanished, broke the protocol, was idle too long, or `signal` fired; the reason is an Error. */
  readonly gone: AbortSignal;
  /**
   * Flushes stdout and stderr, tells the status, closes the streams and then
   * the connection. Settles when the connection is closed (the peer may take
   * up to 30 s); never rejects: a client that left can't be told.
   */
  finish(status: CommandStatus): Promise<void>;
}

/** One connection that the client wants to a port of the pod. */
export interface ForwardedConnection {
  readonly port: number;
  /** Both directions, with half-close. Its end tells the client that all went well. */
  readonly data: Duplex;
  /** Tells the client why this connection failed, and closes it. */
  fail(message: string): Promise<void>;
}

export interface PortForwardOptions {
  /** The ports of the CRI request; only WebSocket clients without the tunnel need them. */
  readonly ports: readonly number[];
  readonly idleTimeoutMs: number;
  readonly creationTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** One client of port-forward. */
export interface PortForwardSession extends AsyncDisposable {
  readonly protocol: string;
  /** Ends with the session. */
  readonly connections: AsyncIterable<ForwardedConnection>;
  /** Aborts when the session is over, whoever ended it; the reason is an Error. */
  readonly gone: AbortSignal;
}
