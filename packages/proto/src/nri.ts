/** The wire of NRI plugins. Beside the CRI and not in it: both name a Container. */
export * from './gen/nri/v1alpha1/api_pb.js';
