import { createHash, type Hash } from 'node:crypto';
import { type TarEntry, TarReader } from '@gantry/tar';
import { decodeIndex } from './decode-index.ts';
import { encodeIndex } from './encode-index.ts';
import type { LayerTree } from './layer-tree.ts';
import { LayerTreeBuilder } from './layer-tree-builder.ts';
import { ErofsReader, type ReadInode } from './read-image.ts';
import type { ErofsImage } from './write-image.ts';

/** A layer as the store keeps it, in memory. */
export interface TestLayer {
  readonly tar: Buffer;
  readonly auxiliary: Buffer;
  readonly index: Buffer;
}

/** Reads a tar as the store does, in pieces of `step` bytes. */
export function layerOf(tar: Buffer, step = 100_000, maxTreeBytes?: number): TestLayer {
  const pieces: { bytes: Buffer; at: number }[] = [];
  const builder = new LayerTreeBuilder(
    (bytes, at) => pieces.push({ bytes: Buffer.from(bytes), at }),
    maxTreeBytes,
  );
  const reader = new TarReader(builder);
  for (let at = 0; at < tar.length; at += step) {
    reader.push(tar.subarray(at, at + step));
  }
  reader.finish();
  const tree = builder.finish(tar.length);
  const auxiliary = Buffer.alloc(tree.auxiliaryBytes);
  for (const { bytes, at } of pieces) {
    bytes.copy(auxiliary, at);
  }
  return { tar, auxiliary, index: encodeIndex(tree) };
}

export function treesOf(layers: readonly TestLayer[]): LayerTree[] {
  return layers.map(({ index }, layer) => decodeIndex(index, layer));
}

/** The bytes of the image's devices, in their order. */
export function devicesOf(image: ErofsImage, layers: readonly TestLayer[]): Buffer[] {
  return image.devices.map(({ layer, isAuxiliary }) => {
    const { tar, auxiliary } = layers[layer] ?? {
      tar: Buffer.alloc(0),
      auxiliary: Buffer.alloc(0),
    };
    return isAuxiliary ? auxiliary : tar;
  });
}

/** A tree by path, one character a byte: a line of everything that is kept of an inode. */
export type Dump = Record<string, string>;

interface Described {
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly content: string;
  readonly target: string;
  readonly mtimeNanos: bigint;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly major: number;
  readonly minor: number;
}

/** What an image shows, read by our own reader. */
export function dumpImage(image: Buffer, devices: readonly Buffer[]): Dump {
  const reader = new ErofsReader(image);
  const dump: Dump = {};
  const first = new Map<number, string>();
  const links = new Map<number, number>();
  const walk = (node: number, path: string): void => {
    const inode = reader.inode(node);
    const known = first.get(node);
    links.set(node, (links.get(node) ?? 0) + 1);
    dump[path] = lineOf(
      known === undefined ? inMemory(reader, inode, devices) : linkTo(inode, known),
    );
    first.set(node, known ?? path);
    if (inode.kind === 'directory') {
      const entries = [...reader.entries(inode)];
      const subdirectories = entries.filter(([, n]) => reader.inode(n).kind === 'directory').length;
      links.set(node, 2 + subdirectories);
      for (const [name, child] of entries) {
        walk(child, path === '' ? name : `${path}/${name}`);
      }
    }
  };
  walk(reader.root, '');
  for (const [node, count] of links) {
    const told = reader.inode(node).links;
    if (told !== count) {
      throw new Error(`${first.get(node)}: ${told} links are told, there are ${count}`);
    }
  }
  return dump;
}

/** Collects what `tar --format=pax --xattrs --sort=name` writes of a tree. */
export class TarDump {
  readonly dump: Dump = {};
  readonly #reader: TarReader;
  #current: { entry: TarEntry; hash: Hash } | undefined;

  constructor() {
    this.#reader = new TarReader({
      entry: (entry) => {
        this.#current = { entry, hash: createHash('sha256') };
      },
      data: (chunk) => {
        this.#current?.hash.update(chunk);
      },
      end: () => this.#end(),
    });
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  finish(): Dump {
    this.#reader.finish();
    return this.dump;
  }

  #end(): void {
    if (this.#current === undefined) {
      return;
    }
    const { entry, hash } = this.#current;
    this.dump[pathOf(entry.path)] = lineOf({
      ...entry,
      content: entry.type === 'file' ? hash.digest('hex') : '',
      target:
        entry.type === 'hardlink' ? pathOf(entry.linkTarget) : entry.linkTarget.toString('latin1'),
    });
  }
}

function pathOf(path: Buffer): string {
  return path
    .toString('latin1')
    .replace(/^\.(\/|$)/, '')
    .replace(/\/$/, '');
}

function inMemory(reader: ErofsReader, inode: ReadInode, devices: readonly Buffer[]): Described {
  const { kind, rdev, xattrs } = inode;
  return {
    ...inode,
    type: kind,
    content: kind === 'file' ? contentOf(reader, inode, devices) : '',
    target: kind === 'symlink' ? reader.target(inode) : '',
    size: kind === 'file' ? inode.size : 0,
    mtimeNanos: BigInt(inode.seconds) * 1_000_000_000n + BigInt(inode.nanos),
    xattrs,
    major: (rdev >>> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xf_ff00),
  };
}

/** tar tells of a further name only what it stands for. */
function linkTo(inode: ReadInode, target: string): Described {
  const { mode, uid, gid, seconds, nanos } = inode;
  const mtimeNanos = BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
  const rest = { size: 0, content: '', major: 0, minor: 0, xattrs: new Map() };
  return { type: 'hardlink', mode, uid, gid, mtimeNanos, target, ...rest };
}

const zeros = Buffer.alloc(1 << 20);

function contentOf(reader: ErofsReader, file: ReadInode, devices: readonly Buffer[]): string {
  const hash = createHash('sha256');
  if (file.size > 0) {
    for (const { device, offset, length } of reader.chunks(file)) {
      if (device > 0) {
        hash.update((devices[device - 1] ?? zeros).subarray(offset, offset + length));
        continue;
      }
      for (let left = length; left > 0; left -= zeros.length) {
        hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
      }
    }
  }
  return hash.digest('hex');
}

function lineOf(entry: Described): string {
  const isNode = entry.type === 'char' || entry.type === 'block';
  const xattrs = [...entry.xattrs].map(([name, value]) => `${name}=${value.toString('hex')}`);
  return [
    entry.type,
    ...(isNode ? [`${entry.major}:${entry.minor}`] : []),
    entry.mode.toString(8),
    `${entry.uid}:${entry.gid}`,
    ...(entry.type === 'file' ? [`size ${entry.size}`, entry.content.slice(0, 12)] : []),
    ...(entry.target === '' ? [] : [`-> ${entry.target}`]),
    String(entry.mtimeNanos),
    ...(entry.type === 'hardlink' ? [] : xattrs.sort()),
  ].join(' ');
}

/** Paths and types of an archive's entries, as a tree has them. */
export function readTarEntries(tar: Buffer): { path: string; type: TarEntry['type'] }[] {
  const found: { path: string; type: TarEntry['type'] }[] = [];
  const reader = new TarReader({
    entry: ({ path, type }) => found.push({ path: pathOf(path), type }),
    data: () => undefined,
    end: () => undefined,
  });
  reader.push(tar);
  reader.finish();
  return found;
}
