export {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  digestOf,
  hexOf,
  isDigest,
  parseDigest,
} from './digest.ts';
export { maxDocumentBytes } from './document.ts';
export { type ImageConfig, parseImageConfig } from './image-config.ts';
export {
  checkOciLayout,
  type Descriptor,
  type DockerArchiveManifest,
  type ImageDocument,
  type ImageIndex,
  type ImageManifest,
  maxLayers,
  parseDockerArchiveManifest,
  parseImageDocument,
} from './manifest.ts';
export { acceptedManifests, isLayerType, mediaTypes } from './media-type.ts';
export { choosePlatform, formatPlatform, hostPlatforms, type Platform } from './platform.ts';
export { formatReference, parseReference, type Reference, repositoryName } from './reference.ts';
export type * from './runtime-spec.ts';
