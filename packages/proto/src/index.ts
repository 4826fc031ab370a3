export * from './gen/gantry/image/v1/image_pb.js';
export * from './gen/gantry/sandbox/v1/sandbox_pb.js';
export * from './gen/runtime/v1/api_pb.js';
export type { ServiceClient } from './service-client.ts';
