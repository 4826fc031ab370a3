export { type Bus, type BusOptions, connectBus, type GatherOptions } from './bus.ts';
export type { CallOptions } from './caller.ts';
export type { Answer } from './gather.ts';
export type { RawHandler, RawHandlers, StreamHandler, UnaryHandler } from './handler.ts';
export type { CallContext } from './inbound-call.ts';
export type { BusEvent } from './link.ts';
export {
  type NatsConfigOptions,
  type NatsFiles,
  natsAccountOf,
  writeNatsConfig,
} from './nats-config.ts';
export { type ServiceName, serviceNames } from './subjects.ts';
export { type BusClient, busClient, busHandlers, fullMethod, type ServiceImpl } from './typed.ts';
