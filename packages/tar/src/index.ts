export {
  defaultTarLimits,
  printable,
  type SparseSegment,
  type TarEntry,
  type TarEntryType,
  type TarLimits,
  type TarSink,
} from './entry.ts';
export { readTar } from './read-tar.ts';
export { TarReader } from './reader.ts';
