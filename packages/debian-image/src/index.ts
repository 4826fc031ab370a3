export { type BuiltImage, buildImage, type ImageConfig, type ImageRequest } from './build-image.ts';
export { buildBusyboxImage, busyboxImageName } from './busybox-image.ts';
export { type ImageFile, writeTar } from './layer-tar.ts';
export { packLayout } from './pack-layout.ts';
export { buildPauseImage, pauseImageName } from './pause-image.ts';
export { findProgram, type Program } from './program.ts';
