export { type CallOptions, type ClientOptions, TtrpcClient } from './client.ts';
export { encodeFrame, type Frame, frameFlags, frameType, maxDataBytes } from './frame.ts';
export { FrameDecoder, type FrameSink, type OversizeFrame } from './frame-decoder.ts';
export {
  type Handler,
  type HandlerContext,
  type ServerOptions,
  type Services,
  TtrpcServer,
} from './server.ts';
export { StatusError } from './status-error.ts';
export { callMethod, type ParseOptions, type ServiceHandlers, serviceHandlers } from './typed.ts';
