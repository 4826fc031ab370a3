import { writeInt64 } from './byte-writer.ts';
import { crc32c } from './crc32c.ts';
import { writeDirectoryBlock } from './directory-blocks.ts';
import { blockBytes, chunkCount, type FileData } from './inode.ts';
import type { LayerTree, Leaf } from './layer-tree.ts';
import {
  chunkEntryBytes,
  chunkIndexes,
  deviceSlotBytes,
  deviceTableOffset,
  entryTypes,
  extendedForm,
  features,
  inodeBytes,
  inodeField,
  layouts,
  magic,
  modeTypes,
  noBlock,
  nodeUnit,
  superblock,
  superblockOffset,
} from './layout.ts';
import { type ImageDirectory, mergeLayers } from './merge-layers.ts';
import { chunkEntriesAt, type ImagePlan, type Placed, planImage } from './plan-image.ts';
import { writeXattrs } from './xattrs.ts';

/** A file that the image points into: one of the two of a layer. */
export interface Device {
  /** The layer's place, from 0 for the lowest. */
  readonly layer: number;
  readonly isAuxiliary: boolean;
}

export interface ErofsImage {
  /** The metadata: a file system once its devices are given to the mount in order. */
  readonly bytes: Buffer;
  readonly devices: readonly Device[];
  readonly inodes: number;
}

/** Some ten million inodes. */
const defaultMaxBytes = 1 << 30;

/**
 * Makes the file system that shows all layers as one, the lowest first; trees as
 * `decodeIndex` gives them with their place. Only files that something points
 * into become devices. Throws `resource-exhausted` when the metadata would be
 * larger than `maxBytes`.
 */
export function buildImage(layers: readonly LayerTree[], maxBytes = defaultMaxBytes): ErofsImage {
  const root = mergeLayers(layers);
  const devices = new DeviceTable();
  devices.collect(root);
  const plan = planImage(root, devices.all.length, maxBytes);
  const bytes = Buffer.alloc(plan.bytes);
  for (const [number, placed] of plan.inodes.entries()) {
    writeInode(bytes, placed, number + 1, devices);
  }
  writeDevices(bytes, devices.all, layers);
  writeSuperblock(bytes, plan, devices.all.length);
  return { bytes, devices: devices.all, inodes: plan.inodes.length };
}

class DeviceTable {
  readonly all: Device[] = [];
  readonly #numbers = new Map<number, number>();

  collect(directory: ImageDirectory): void {
    for (const child of directory.children.values()) {
      if (child.type === 'directory') {
        this.collect(child);
      } else {
        this.#add(child);
      }
    }
  }

  numberOf(layer: number, data: FileData): number {
    return this.#numbers.get(keyOf(layer, data) ?? -1) ?? 0;
  }

  #add({ inode, layer }: Leaf): void {
    const key = keyOf(layer, inode.data);
    if (key !== undefined && !this.#numbers.has(key)) {
      this.all.push({ layer, isAuxiliary: inode.data?.isAuxiliary === true });
      this.#numbers.set(key, this.all.length);
    }
  }
}

/** undefined for a file that is one hole. */
function keyOf(layer: number, data: FileData | undefined): number | undefined {
  return data === undefined || data.runs.length === 0
    ? undefined
    : layer * 2 + Number(data.isAuxiliary);
}

function writeInode(image: Buffer, placed: Placed, number: number, devices: DeviceTable): void {
  const { inode, at, layout, xattrBytes } = placed;
  image.writeUInt16LE(extendedForm | (layout << 1), at + inodeField.format);
  // One for the header, which has 12 bytes, and one for each four after it.
  image.writeUInt16LE(xattrBytes === 0 ? 0 : 1 + (xattrBytes - 12) / 4, at + inodeField.xattrCount);
  image.writeUInt16LE(modeTypes[inode.kind] | inode.mode, at + inodeField.mode);
  writeInt64(image, placed.size, at + inodeField.size);
  image.writeUInt32LE(placeOf(placed), at + inodeField.place);
  image.writeUInt32LE(number >>> 0, at + inodeField.number);
  image.writeUInt32LE(inode.uid, at + inodeField.uid);
  image.writeUInt32LE(inode.gid, at + inodeField.gid);
  writeInt64(image, inode.seconds, at + inodeField.seconds);
  image.writeUInt32LE(inode.nanos, at + inodeField.nanos);
  image.writeUInt32LE(placed.links, at + inodeField.links);
  if (xattrBytes > 0) {
    writeXattrs(image, at + inodeBytes, inode.xattrs);
  }
  if (placed.directory !== undefined) {
    writeDirectory(image, placed);
  } else if (inode.kind === 'symlink') {
    image.write(inode.target, tailAt(placed), inode.target.length, 'latin1');
  } else if (inode.data !== undefined) {
    writeChunks(image, placed, inode.data, devices.numberOf(placed.layer, inode.data));
  }
}

/** The field of an inode that says where its data is, or what device it stands for. */
function placeOf({ inode, layout, firstBlock }: Placed): number {
  if (layout === layouts.chunks) {
    return chunkIndexes | (inode.data?.chunkBits ?? 0);
  }
  return inode.kind === 'char' || inode.kind === 'block' ? inode.rdev : firstBlock;
}

/** Where the data that is less than a block goes, or all of it where nothing is inline. */
function tailAt({ layout, at, xattrBytes, firstBlock }: Placed): number {
  return layout === layouts.inline ? at + inodeBytes + xattrBytes : firstBlock * blockBytes;
}

function writeDirectory(image: Buffer, placed: Placed): void {
  const { directory, firstBlock, blocks } = placed;
  if (directory === undefined) {
    return;
  }
  const { names, entries, sharing } = directory;
  const targets = entries.map(({ at, inode }) => ({
    node: at / nodeUnit,
    type: entryTypes[inode.kind],
  }));
  for (let i = 0; i + 1 < sharing.starts.length; i++) {
    const at = i < blocks ? (firstBlock + i) * blockBytes : tailAt(placed);
    const [first = 0, end = 0] = [sharing.starts[i], sharing.starts[i + 1]];
    writeDirectoryBlock(image, at, names, targets, first, end);
  }
}

function writeChunks(image: Buffer, placed: Placed, data: FileData, device: number): void {
  const start = chunkEntriesAt(placed);
  const count = chunkCount(placed.size, data);
  const step = 2 ** data.chunkBits;
  // Holes first: all ones for the block, device 0.
  for (let i = 0; i < count; i++) {
    image.writeUInt16LE(0xffff, start + i * chunkEntryBytes);
    image.writeUInt32LE(noBlock, start + i * chunkEntryBytes + 4);
  }
  for (const run of data.runs) {
    for (let i = 0; i < run.count; i++) {
      const at = start + (run.chunk + i) * chunkEntryBytes;
      image.writeUInt16LE(0, at);
      image.writeUInt16LE(device, at + 2);
      image.writeUInt32LE(run.block + i * step, at + 4);
    }
  }
}

function writeDevices(
  image: Buffer,
  devices: readonly Device[],
  layers: readonly LayerTree[],
): void {
  for (const [index, { layer, isAuxiliary }] of devices.entries()) {
    const at = deviceTableOffset + deviceSlotBytes * index;
    const { tarBytes = 0, auxiliaryBytes = 0 } = layers[layer] ?? {};
    image.write(`layer ${layer}${isAuxiliary ? ' auxiliary' : ''}`, at, 'latin1');
    image.writeUInt32LE(Math.ceil((isAuxiliary ? auxiliaryBytes : tarBytes) / blockBytes), at + 64);
  }
}

function writeSuperblock(image: Buffer, plan: ImagePlan, devices: number): void {
  const field = (offset: number): number => superblockOffset + offset;
  const root = plan.inodes[0]?.at ?? 0;
  image.writeUInt32LE(magic, field(superblock.magic));
  image.writeUInt32LE(features.checksum | features.mtime, field(superblock.featureCompat));
  image.writeUInt8(Math.log2(blockBytes), field(superblock.blockBits));
  image.writeUInt16LE(root / nodeUnit, field(superblock.rootNode));
  writeInt64(image, plan.inodes.length, field(superblock.inodes));
  image.writeUInt32LE(plan.bytes / blockBytes, field(superblock.blocks));
  const incompat = features.chunkedFile | (devices > 0 ? features.deviceTable : 0);
  image.writeUInt32LE(incompat, field(superblock.featureIncompat));
  image.writeUInt16LE(devices, field(superblock.extraDevices));
  image.writeUInt16LE(deviceTableOffset / deviceSlotBytes, field(superblock.deviceTable));
  const summed = image.subarray(superblockOffset, superblockOffset + blockBytes);
  image.writeUInt32LE(crc32c(summed), field(superblock.checksum));
}
