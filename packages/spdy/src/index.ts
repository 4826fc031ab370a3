export { ByteQueue } from './byte-queue.ts';
export { SpdyConnection, type SpdyConnectionOptions } from './connection.ts';
export { encodeControl, encodeDataHeader } from './encode.ts';
export type {
  ControlFrame,
  GoAway,
  HeadersFrame,
  Ping,
  RstStream,
  Settings,
  SynReply,
  SynStream,
  WindowUpdate,
} from './frames.ts';
export { HeaderDecoder, HeaderEncoder, type SpdyHeaders } from './header-block.ts';
export { defaultLimits, type SpdyLimits } from './limits.ts';
export { FrameParser, type FrameSink } from './parser.ts';
export { resetStatus, SpdyError, type SpdyErrorKind } from './spdy-error.ts';
export { SpdyStream } from './spdy-stream.ts';
