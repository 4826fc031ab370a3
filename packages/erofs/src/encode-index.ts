import { createHash } from 'node:crypto';
import { ByteWriter } from './byte-writer.ts';
import { flags, indexMagic, indexVersion, kindNumbers, recordKinds } from './index-format.ts';
import type { FileData, Inode } from './inode.ts';
import type { LayerDirectory, LayerNode, LayerTree, Leaf } from './layer-tree.ts';

/** A layer's tree as a file: read back by `decodeIndex`. */
export function encodeIndex(tree: LayerTree): Buffer {
  const out = new ByteWriter();
  out.latin1(indexMagic);
  out.u32(indexVersion);
  out.i64(tree.tarBytes);
  out.i64(tree.auxiliaryBytes);
  new Encoder(out).root(tree.root);
  out.u8(recordKinds.end);
  const body = out.bytes();
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

class Encoder {
  readonly #out: ByteWriter;
  readonly #numbers = new Map<Leaf, number>();
  #next = 0;

  constructor(out: ByteWriter) {
    this.#out = out;
  }

  root(root: LayerDirectory): void {
    this.#directory(root, '', 0);
  }

  #node(node: LayerNode, name: string, parent: number): void {
    if (node.type === 'directory') {
      this.#directory(node, name, parent);
    } else if (node.type === 'whiteout') {
      this.#begin(recordKinds.whiteout, 0, name, parent);
    } else {
      this.#leaf(node, name, parent);
    }
  }

  #begin(kind: number, flagBits: number, name: string, parent: number): number {
    this.#out.u8(kind);
    this.#out.u8(flagBits);
    this.#out.u8(name.length);
    this.#out.u32(parent);
    this.#out.latin1(name);
    return this.#next++;
  }

  #directory(node: LayerDirectory, name: string, parent: number): void {
    const bits = (node.isOpaque ? flags.opaque : 0) | (node.isImplicit ? flags.implicit : 0);
    const own = this.#begin(kindNumbers.directory, bits, name, parent);
    this.#attributes(node.inode);
    for (const [childName, child] of node.children) {
      this.#node(child, childName, own);
    }
  }

  #leaf(leaf: Leaf, name: string, parent: number): void {
    const { inode } = leaf;
    const first = this.#numbers.get(leaf);
    if (first !== undefined) {
      this.#begin(recordKinds.link, 0, name, parent);
      this.#out.u32(first);
      return;
    }
    const bits = inode.data?.isAuxiliary === true ? flags.auxiliary : 0;
    this.#numbers.set(leaf, this.#begin(kindNumbers[inode.kind], bits, name, parent));
    this.#attributes(inode);
    switch (inode.kind) {
      case 'file':
        this.#out.i64(inode.size);
        if (inode.data !== undefined) {
          this.#data(inode.data);
        }
        break;
      case 'symlink':
        this.#out.u16(inode.target.length);
        this.#out.latin1(inode.target);
        break;
      case 'char':
      case 'block':
        this.#out.u32(inode.rdev);
        break;
      default:
    }
  }

  #attributes({ mode, uid, gid, seconds, nanos, xattrs }: Inode): void {
    this.#out.u16(mode);
    this.#out.u32(uid);
    this.#out.u32(gid);
    this.#out.i64(seconds);
    this.#out.u32(nanos);
    this.#out.u16(xattrs.length);
    for (const { index, name, value } of xattrs) {
      this.#out.u8(index);
      this.#out.u8(name.length);
      this.#out.u16(value.length);
      this.#out.raw(name);
      this.#out.raw(value);
    }
  }

  #data({ chunkBits, runs }: FileData): void {
    this.#out.u8(chunkBits);
    this.#out.u32(runs.length);
    for (const { chunk, count, block } of runs) {
      this.#out.u32(chunk);
      this.#out.u32(count);
      this.#out.u32(block);
    }
  }
}
