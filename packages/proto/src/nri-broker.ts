export * from './gen/gantry/nri/v1/nri_pb.js';
