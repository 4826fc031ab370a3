export * from './gen/ttrpc/v1/request_pb.js';
