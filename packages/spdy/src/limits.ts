/** What a peer may make this side hold. All of it is checked before memory is taken. */
export interface SpdyLimits {
  /** Largest payload of a control frame. DATA frames have no limit: they are never held whole. */
  readonly maxControlFrameBytes: number;
  /** Largest header block once inflated. */
  readonly maxHeaderBlockBytes: number;
  readonly maxHeaders: number;
  /** Streams open at a time that the peer began; one more is refused with RST_STREAM. */
  readonly maxStreams: number;
  /** Unread bytes of one stream at which the connection stops reading. */
  readonly streamBufferBytes: number;
  /** Unread bytes of all streams at which the connection stops reading. */
  readonly connectionBufferBytes: number;
  /** Unsent answers (PING, RST_STREAM, SYN_REPLY) at which the connection stops reading. */
  readonly maxPendingReplyBytes: number;
}

export const defaultLimits: SpdyLimits = {
  maxControlFrameBytes: 64 * 1024,
  maxHeaderBlockBytes: 64 * 1024,
  maxHeaders: 100,
  maxStreams: 1000,
  streamBufferBytes: 512 * 1024,
  connectionBufferBytes: 4 * 1024 * 1024,
  maxPendingReplyBytes: 64 * 1024,
};
