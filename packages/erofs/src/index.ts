export {
  decodeIndex,
  decodeIndexHeader,
  type IndexHeader,
  indexHeaderBytes,
} from './decode-index.ts';
export { encodeIndex } from './encode-index.ts';
export type { FileKind, Inode } from './inode.ts';
export type { LayerTree } from './layer-tree.ts';
export { LayerTreeBuilder, type WriteAuxiliary } from './layer-tree-builder.ts';
export { type ProbeImage, probeImage } from './probe-image.ts';
export { ErofsReader, type ReadChunk, type ReadInode } from './read-image.ts';
export { buildImage, type Device, type ErofsImage } from './write-image.ts';
