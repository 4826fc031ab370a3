import type { SpdyHeaders } from './header-block.ts';

export interface SynStream {
  readonly type: 'syn-stream';
  readonly streamId: number;
  readonly associatedId: number;
  /** 0 is the most urgent of 8. */
  readonly priority: number;
  readonly headers: SpdyHeaders;
  readonly fin: boolean;
  /** The receiver may not send on it. */
  readonly unidirectional: boolean;
}

export interface SynReply {
  readonly type: 'syn-reply';
  readonly streamId: number;
  readonly headers: SpdyHeaders;
  readonly fin: boolean;
}

export interface HeadersFrame {
  readonly type: 'headers';
  readonly streamId: number;
  readonly headers: SpdyHeaders;
  readonly fin: boolean;
}

export interface RstStream {
  readonly type: 'rst-stream';
  readonly streamId: number;
  readonly status: number;
}

export interface Settings {
  readonly type: 'settings';
  readonly entries: readonly {
    readonly id: number;
    readonly flags: number;
    readonly value: number;
  }[];
}

export interface Ping {
  readonly type: 'ping';
  /** Odd when the client began it, even when the server did. */
  readonly id: number;
}

export interface GoAway {
  readonly type: 'goaway';
  readonly lastStreamId: number;
  readonly status: number;
}

export interface WindowUpdate {
  readonly type: 'window-update';
  readonly streamId: number;
  readonly delta: number;
}

/** A control frame of SPDY/3.1, as moby/spdystream writes and reads it. */
export type ControlFrame =
  | SynStream
  | SynReply
  | HeadersFrame
  | RstStream
  | Settings
  | Ping
  | GoAway
  | WindowUpdate;

export const version = 3;
export const frameHeaderBytes = 8;
export const finFlag = 1;
export const unidirectionalFlag = 2;
export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;
