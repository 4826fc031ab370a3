import { RuntimeError } from '@gantry/errors';
import { readInt64 } from './byte-writer.ts';
import { crc32c } from './crc32c.ts';
import { blockBytes, type FileKind } from './inode.ts';
import {
  alignUp,
  chunkEntryBytes,
  deviceSlotBytes,
  direntBytes,
  entryTypes,
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
import { readXattrs } from './xattrs.ts';

/** An inode as it stands in an image. */
export interface ReadInode {
  readonly node: number;
  readonly kind: FileKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
  readonly nanos: number;
  readonly links: number;
  readonly rdev: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly layout: number;
  /** Where the data lies: see `layouts`. */
  readonly place: number;
  readonly tailAt: number;
}

/** A piece of a file; device 0 is a hole. */
export interface ReadChunk {
  readonly device: number;
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads what `buildImage` wrote, without a kernel: for tests and for whoever
 * wants to look into an image. Throws `internal` at the first thing that is not
 * as the format has it: checksum, order of names, links, offsets.
 */
export class ErofsReader {
  readonly #image: Buffer;
  /** Sizes of the devices, in blocks. */
  readonly devices: readonly number[];
  readonly root: number;

  constructor(image: Buffer) {
    this.#image = image;
    const at = superblockOffset;
    const summed = Buffer.from(image.subarray(at, at + blockBytes));
    summed.writeUInt32LE(0, superblock.checksum);
    this.#expect(image.readUInt32LE(at + superblock.magic) === magic, 'no EROFS image');
    const told = image.readUInt32LE(at + superblock.checksum);
    this.#expect(told === crc32c(summed), 'wrong checksum');
    this.#expect(image.readUInt32LE(at + superblock.blocks) * blockBytes === image.length, 'size');
    const count = image.readUInt16LE(at + superblock.extraDevices);
    const table = image.readUInt16LE(at + superblock.deviceTable) * deviceSlotBytes;
    this.devices = Array.from({ length: count }, (_, i) =>
      image.readUInt32LE(table + deviceSlotBytes * i + 64),
    );
    this.root = image.readUInt16LE(at + superblock.rootNode);
  }

  inode(node: number): ReadInode {
    const at = node * nodeUnit;
    const image = this.#image;
    this.#expect(at + inodeBytes <= image.length, `node ${node}: beyond the image`);
    const format = image.readUInt16LE(at + inodeField.format);
    const mode = image.readUInt16LE(at + inodeField.mode);
    const kind = kindOf(mode);
    const count = image.readUInt16LE(at + inodeField.xattrCount);
    const xattrBytes = count === 0 ? 0 : 12 + 4 * (count - 1);
    this.#expect(kind !== undefined && (format & 1) === 1, `node ${node}: no inode`);
    const place = image.readUInt32LE(at + inodeField.place);
    return {
      node,
      kind: kind ?? 'file',
      mode: mode & 0o7777,
      uid: image.readUInt32LE(at + inodeField.uid),
      gid: image.readUInt32LE(at + inodeField.gid),
      size: readInt64(image, at + inodeField.size),
      seconds: readInt64(image, at + inodeField.seconds),
      nanos: image.readUInt32LE(at + inodeField.nanos),
      links: image.readUInt32LE(at + inodeField.links),
      rdev: kind === 'char' || kind === 'block' ? place : 0,
      xattrs: readXattrs(image, at + inodeBytes, xattrBytes),
      layout: (format >> 1) & 7,
      place,
      tailAt: at + inodeBytes + xattrBytes,
    };
  }

  /** The names of a directory, `.` and `..` left out, one character a byte. */
  entries(directory: ReadInode): Map<string, number> {
    const found = new Map<string, number>();
    let last = '';
    for (const block of this.#blocks(directory)) {
      for (const { name, node, type } of readBlock(block)) {
        this.#expect(name > last, `node ${directory.node}: names out of order at ${name}`);
        this.#expect(type === entryTypes[this.inode(node).kind], `${name}: type of its entry`);
        last = name;
        found.set(name, node);
      }
    }
    this.#expect(found.get('.') === directory.node && found.has('..'), 'no . or ..');
    found.delete('.');
    found.delete('..');
    return found;
  }

  /** The target of a symlink, one character a byte. */
  target(link: ReadInode): string {
    return Buffer.concat([...this.#blocks(link)]).toString('latin1');
  }

  /** Where the bytes of a file are, in order. */
  *chunks(file: ReadInode): Generator<ReadChunk> {
    const chunkBytes = blockBytes * 2 ** (file.place & 0x1f);
    const start = alignUp(file.tailAt, chunkEntryBytes);
    for (let at = 0, i = 0; at < file.size; at += chunkBytes, i++) {
      const entry = start + i * chunkEntryBytes;
      const length = Math.min(chunkBytes, file.size - at);
      const block = this.#image.readUInt32LE(entry + 4);
      if (block === noBlock) {
        yield { device: 0, offset: 0, length };
        continue;
      }
      const device = this.#image.readUInt16LE(entry + 2);
      const blocks = this.devices[device - 1] ?? 0;
      const isInside = block + Math.ceil(length / blockBytes) <= blocks;
      this.#expect(isInside, `node ${file.node}: beyond its device`);
      yield { device, offset: block * blockBytes, length };
    }
  }

  *#blocks({ node, layout, place, size, tailAt }: ReadInode): Generator<Buffer> {
    const whole = layout === layouts.inline ? Math.ceil(size / blockBytes) - 1 : undefined;
    for (let done = 0, i = 0; done < size; i++) {
      const length = Math.min(blockBytes, size - done);
      const at = i === whole ? tailAt : (place + i) * blockBytes;
      const isTogether = i !== whole || (node * nodeUnit) % blockBytes <= at % blockBytes;
      this.#expect(isTogether && at + length <= this.#image.length, `node ${node}: its data`);
      yield this.#image.subarray(at, at + length);
      done += length;
    }
  }

  #expect(isRight: boolean, what: string): void {
    if (!isRight) {
      throw new RuntimeError('internal', `read EROFS image: ${what}`);
    }
  }
}

function kindOf(mode: number): FileKind | undefined {
  const kinds = Object.entries(modeTypes) as [FileKind, number][];
  return kinds.find(([, bits]) => bits === (mode & 0o170000))?.[0];
}

function* readBlock(block: Buffer): Generator<{ name: string; node: number; type: number }> {
  const count = block.readUInt16LE(8) / direntBytes;
  for (let i = 0; i < count; i++) {
    const at = i * direntBytes;
    const start = block.readUInt16LE(at + 8);
    const end = i + 1 < count ? block.readUInt16LE(at + direntBytes + 8) : block.length;
    const padded = block.toString('latin1', start, end);
    const nul = padded.indexOf('\0');
    yield {
      name: nul === -1 ? padded : padded.slice(0, nul),
      node: readInt64(block, at),
      type: block.readUInt8(at + 10),
    };
  }
}
