import { RuntimeError } from '@gantry/errors';
import { type DirectoryBlocks, shareOut } from './directory-blocks.ts';
import { blockBytes, chunkCount, type Inode } from './inode.ts';
import {
  alignUp,
  chunkEntryBytes,
  deviceSlotBytes,
  deviceTableOffset,
  imageAlignment,
  inodeBytes,
  layouts,
  nodeUnit,
} from './layout.ts';
import type { ImageDirectory, ImageNode } from './merge-layers.ts';
import { xattrAreaBytes } from './xattrs.ts';

/** Where an inode and its data go in the image. */
export interface Placed {
  readonly inode: Inode;
  /** Layer of its data. */
  readonly layer: number;
  readonly layout: number;
  /** What the inode says of its length. */
  readonly size: number;
  readonly xattrBytes: number;
  /** Whole blocks outside the inode. */
  readonly blocks: number;
  links: number;
  /** Byte offset. */
  at: number;
  /** First of its blocks, as a block number. */
  firstBlock: number;
  /** Of a directory: its sorted entries, `.` and `..` among them. */
  readonly directory?: PlacedDirectory;
}

export interface PlacedDirectory {
  readonly names: readonly string[];
  /** In the order of the names. */
  readonly entries: Placed[];
  readonly sharing: DirectoryBlocks;
}

export interface ImagePlan {
  readonly inodes: readonly Placed[];
  /** Of the whole image. */
  readonly bytes: number;
}

/** The root's number has 16 bits. */
const maxRootNode = 0xffff;

/** Gives every inode and block of the tree its place. Throws `resource-exhausted` beyond `maxBytes`. */
export function planImage(root: ImageDirectory, devices: number, maxBytes: number): ImagePlan {
  let at = deviceTableOffset + deviceSlotBytes * devices;
  if (at / nodeUnit >= maxRootNode) {
    throw new RuntimeError('resource-exhausted', `an image of ${devices} files of layers`);
  }
  const inodes = new Collector().collect(root);
  for (const placed of inodes) {
    at = place(placed, at);
  }
  let block = Math.ceil(at / blockBytes);
  for (const placed of inodes) {
    if (placed.blocks > 0) {
      placed.firstBlock = block;
      block += placed.blocks;
    }
  }
  const bytes = alignUp(block * blockBytes, imageAlignment);
  if (bytes > maxBytes) {
    throw new RuntimeError(
      'resource-exhausted',
      `the metadata of the image takes ${bytes} bytes, more than ${maxBytes}`,
    );
  }
  return { inodes, bytes };
}

/** Where the chunk entries of a file begin. */
export function chunkEntriesAt({ at, xattrBytes }: Placed): number {
  return alignUp(at + inodeBytes + xattrBytes, chunkEntryBytes);
}

/** Gives one inode its place at or after `free`; returns where it ends. */
function place(placed: Placed, free: number): number {
  const { inode, xattrBytes, layout, size, blocks } = placed;
  const tail = layout === layouts.inline ? size - blocks * blockBytes : 0;
  // An inline tail may not cross the end of a block, and neither may an inode.
  const together = tail > 0 ? inodeBytes + xattrBytes + tail : inodeBytes;
  const start = alignUp(free, nodeUnit);
  placed.at = (start % blockBytes) + together > blockBytes ? alignUp(start, blockBytes) : start;
  if (layout === layouts.chunks && inode.data !== undefined) {
    return chunkEntriesAt(placed) + chunkEntryBytes * chunkCount(size, inode.data);
  }
  return placed.at + inodeBytes + xattrBytes + tail;
}

/** Lists the inodes of a tree, a directory before what is in it, each one once. */
class Collector {
  readonly #inodes: Placed[] = [];
  readonly #leaves = new Map<ImageNode, Placed>();

  collect(root: ImageDirectory): readonly Placed[] {
    this.#directory(root, undefined);
    return this.#inodes;
  }

  #directory(node: ImageDirectory, parent: Placed | undefined): Placed {
    // Names are one character a byte: the order of strings is that of bytes.
    const names = ['.', '..', ...node.children.keys()].sort();
    const sharing = shareOut(names);
    const size = (sharing.starts.length - 2) * blockBytes + sharing.lastBytes;
    const entries: Placed[] = [];
    const own = this.#add(node.inode, 0, size, { names, entries, sharing });
    for (const name of names) {
      const child = node.children.get(name);
      if (child === undefined) {
        entries.push(name === '.' ? own : (parent ?? own));
      } else if (child.type === 'directory') {
        own.links += 1;
        entries.push(this.#directory(child, own));
      } else {
        entries.push(this.#leaf(child));
      }
    }
    return own;
  }

  #leaf(node: Exclude<ImageNode, ImageDirectory>): Placed {
    const known = this.#leaves.get(node);
    if (known !== undefined) {
      known.links += 1;
      return known;
    }
    const { inode, layer } = node;
    const placed = this.#add(
      inode,
      layer,
      inode.kind === 'symlink' ? inode.target.length : inode.size,
    );
    this.#leaves.set(node, placed);
    return placed;
  }

  #add(inode: Inode, layer: number, size: number, directory?: PlacedDirectory): Placed {
    const xattrBytes = xattrAreaBytes(inode.xattrs);
    const { layout, blocks } = layoutOf(inode, size, xattrBytes);
    const placed: Placed = {
      inode,
      layer,
      layout,
      size,
      xattrBytes,
      blocks,
      links: directory === undefined ? 1 : 2,
      at: 0,
      firstBlock: 0,
      ...(directory === undefined ? {} : { directory }),
    };
    this.#inodes.push(placed);
    return placed;
  }
}

function layoutOf(
  { kind, data }: Inode,
  size: number,
  xattrBytes: number,
): Pick<Placed, 'layout' | 'blocks'> {
  if (kind === 'directory' || kind === 'symlink') {
    const blocks = Math.ceil(size / blockBytes);
    // A symlink is read in one go: whole blocks, or all of it inline.
    const tail = kind === 'symlink' ? size : size - (blocks - 1) * blockBytes;
    const fits = inodeBytes + xattrBytes + tail <= blockBytes;
    return fits
      ? { layout: layouts.inline, blocks: blocks - 1 }
      : { layout: layouts.plain, blocks };
  }
  return { layout: data === undefined ? layouts.plain : layouts.chunks, blocks: 0 };
}
