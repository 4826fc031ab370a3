import { createHash } from 'node:crypto';
import { messageOf, RuntimeError } from '@gantry/errors';
import { ByteReader } from './byte-reader.ts';
import {
  checksumBytes,
  flags,
  headerBytes,
  indexMagic,
  indexVersion,
  kindNumbers,
  recordKinds,
} from './index-format.ts';
import {
  blockBytes,
  chunkBytesOf,
  chunkCount,
  type FileData,
  type FileKind,
  type Inode,
  maxChunkBits,
  type Run,
  type Xattr,
} from './inode.ts';
import {
  type LayerDirectory,
  type LayerNode,
  type LayerTree,
  type Leaf,
  whiteout,
} from './layer-tree.ts';
import { maxDepth } from './tree-path.ts';

/** Sizes that an index tells of the files beside it. */
export type IndexHeader = Pick<LayerTree, 'tarBytes' | 'auxiliaryBytes'>;

/** How many bytes of an index `decodeIndexHeader` wants. */
export const indexHeaderBytes = headerBytes;

const kinds = new Map(Object.entries(kindNumbers).map(([kind, n]) => [n, kind as FileKind]));

/** Reads the beginning of an index; undefined when it is not of this version. */
export function decodeIndexHeader(bytes: Buffer): IndexHeader | undefined {
  if (bytes.length < headerBytes || bytes.toString('latin1', 0, indexMagic.length) !== indexMagic) {
    return undefined;
  }
  const reader = new ByteReader(bytes);
  reader.latin1(indexMagic.length);
  return reader.u32() === indexVersion
    ? { tarBytes: reader.i64(), auxiliaryBytes: reader.i64() }
    : undefined;
}

/**
 * Reads an index, trusting nothing: its checksum, every name, number and place
 * in the tar is checked. `layer` is the layer's place in its image, from 0 for
 * the lowest. Throws `internal` for what can't be used; it can be made anew from
 * the tar.
 */
export function decodeIndex(bytes: Buffer, layer: number): LayerTree {
  try {
    const body = bytes.subarray(0, -checksumBytes);
    const header = decodeIndexHeader(body);
    if (header === undefined) {
      throw new Error('of another kind or version');
    }
    if (!createHash('sha256').update(body).digest().equals(bytes.subarray(-checksumBytes))) {
      throw new Error('wrong checksum');
    }
    const root = new Decoder(body.subarray(headerBytes), header, layer).read();
    return { root, ...header };
  } catch (cause) {
    throw new RuntimeError('internal', `layer index: ${messageOf(cause)}`);
  }
}

interface Numbered {
  readonly node: LayerNode;
  readonly depth: number;
}

class Decoder {
  readonly #in: ByteReader;
  readonly #header: IndexHeader;
  readonly #layer: number;
  readonly #records: Numbered[] = [];

  constructor(bytes: Buffer, header: IndexHeader, layer: number) {
    this.#in = new ByteReader(bytes);
    this.#header = header;
    this.#layer = layer;
  }

  read(): LayerDirectory {
    for (let kind = this.#in.u8(); kind !== recordKinds.end; kind = this.#in.u8()) {
      this.#record(kind);
    }
    const root = this.#records[0]?.node;
    if (root?.type !== 'directory' || this.#in.left > 0) {
      throw new Error('no root, or bytes behind the end');
    }
    return root;
  }

  #record(kind: number): void {
    const flagBits = this.#in.u8();
    const nameLength = this.#in.u8();
    const parentNumber = this.#in.u32();
    const name = this.#in.latin1(nameLength);
    const isRoot = this.#records.length === 0;
    const parent = this.#records[parentNumber];
    const depth = isRoot ? 0 : (parent?.depth ?? 0) + 1;
    const node = this.#node(kind, flagBits);
    this.#records.push({ node, depth });
    if (isRoot) {
      return;
    }
    if (parent?.node.type !== 'directory' || depth > maxDepth || !isName(name)) {
      throw new Error(`entry ${this.#records.length}: misplaced`);
    }
    if (parent.node.children.has(name)) {
      throw new Error(`entry ${this.#records.length}: its name comes twice`);
    }
    parent.node.children.set(name, node);
  }

  #node(kind: number, flagBits: number): LayerNode {
    if (kind === recordKinds.whiteout) {
      return whiteout;
    }
    if (kind === recordKinds.link) {
      return this.#linked(this.#in.u32());
    }
    const fileKind = kinds.get(kind);
    if (fileKind === undefined) {
      throw new Error(`unknown kind ${kind}`);
    }
    const inode = this.#inode(fileKind, flagBits);
    if (fileKind !== 'directory') {
      return { type: 'leaf', inode, layer: this.#layer };
    }
    const isOpaque = (flagBits & flags.opaque) !== 0;
    const isImplicit = (flagBits & flags.implicit) !== 0;
    return { type: 'directory', inode, children: new Map(), isOpaque, isImplicit };
  }

  #linked(number: number): Leaf {
    const node = this.#records[number]?.node;
    if (node?.type !== 'leaf') {
      throw new Error('a link to no file');
    }
    return node;
  }

  #inode(kind: FileKind, flagBits: number): Inode {
    const mode = this.#in.u16() & 0o7777;
    const uid = this.#in.u32();
    const gid = this.#in.u32();
    const seconds = this.#in.i64();
    const nanos = this.#in.u32() % 1_000_000_000;
    const xattrs = this.#xattrs();
    const size = kind === 'file' ? this.#in.i64() : 0;
    const data = size === 0 ? undefined : this.#data(size, (flagBits & flags.auxiliary) !== 0);
    return {
      kind,
      mode,
      uid,
      gid,
      seconds,
      nanos,
      xattrs,
      size,
      target: kind === 'symlink' ? this.#in.latin1(this.#in.u16()) : '',
      rdev: kind === 'char' || kind === 'block' ? this.#in.u32() : 0,
      ...(data === undefined ? {} : { data }),
    };
  }

  #xattrs(): readonly Xattr[] {
    const count = this.#in.u16();
    const xattrs: Xattr[] = [];
    for (let i = 0; i < count; i++) {
      const index = this.#in.u8();
      const nameLength = this.#in.u8();
      const valueLength = this.#in.u16();
      xattrs.push({ index, name: this.#in.raw(nameLength), value: this.#in.raw(valueLength) });
    }
    return xattrs;
  }

  #data(size: number, isAuxiliary: boolean): FileData {
    const chunkBits = this.#in.u8();
    if (size < 0 || chunkBits > maxChunkBits) {
      throw new Error('a file of impossible size');
    }
    const runs: Run[] = [];
    const device = isAuxiliary ? this.#header.auxiliaryBytes : this.#header.tarBytes;
    const chunkBytes = chunkBytesOf({ chunkBits });
    const chunks = chunkCount(size, { chunkBits });
    let next = 0;
    for (let left = this.#in.u32(); left > 0; left--) {
      const run = { chunk: this.#in.u32(), count: this.#in.u32(), block: this.#in.u32() };
      const end = Math.min(size, (run.chunk + run.count) * chunkBytes);
      const bytes = end - run.chunk * chunkBytes;
      const isInside = run.block * blockBytes + bytes <= device;
      if (run.chunk < next || run.chunk + run.count > chunks || !isInside) {
        throw new Error('data beyond its file or its layer');
      }
      next = run.chunk + run.count;
      runs.push(run);
    }
    return { isAuxiliary, chunkBits, runs };
  }
}

function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}
