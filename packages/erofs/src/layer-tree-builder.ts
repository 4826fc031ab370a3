import { kindOf, RuntimeError } from '@gantry/errors';
import { printable, type TarEntry, type TarSink } from '@gantry/tar';
import { badEntry } from './bad-entry.ts';
import { type FileData, type FileKind, type Inode, rdevOf } from './inode.ts';
import {
  implicitDirectory,
  type LayerDirectory,
  type LayerNode,
  type LayerTree,
  type Leaf,
  whiteout,
} from './layer-tree.ts';
import { AuxiliarySpace, contiguous, dataInTar } from './place-data.ts';
import { defaultMaxTreeBytes, TreeBudget } from './tree-budget.ts';
import { checkName, cleanPath, resolveDirectory } from './tree-path.ts';
import { xattrsOf } from './xattrs.ts';

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';
const metaPrefix = '.wh..wh.';
const maxTargetBytes = 4095;

/** Takes the bytes that can't be read from the tar: at their place in the auxiliary file. */
export type WriteAuxiliary = (chunk: Buffer, offset: number) => void;

/**
 * Makes the tree of a layer from its entries, as they come, with nothing
 * extracted. Whiteouts and opaque marks (OCI image spec, layer.md) stay apart
 * from what they hide: that is for `mergeLayers`. What a file system would
 * refuse is refused: `invalid-argument` that names the entry.
 */
export class LayerTreeBuilder implements TarSink {
  readonly #root: LayerDirectory = implicitDirectory();
  readonly #auxiliary = new AuxiliarySpace();
  readonly #writeAuxiliary: WriteAuxiliary;
  readonly #budget: TreeBudget;
  readonly #onMade = (name: string): void => this.#budget.take(name.length);
  /** Where the bytes of the entry that is being read go; absent for those that stay in the tar. */
  #copyTo: number | undefined;

  /** `maxTreeBytes` bounds the memory that a hostile archive can make the tree take. */
  constructor(writeAuxiliary: WriteAuxiliary, maxTreeBytes = defaultMaxTreeBytes) {
    this.#writeAuxiliary = writeAuxiliary;
    this.#budget = new TreeBudget(maxTreeBytes);
  }

  entry(entry: TarEntry): void {
    try {
      this.#take(entry);
    } catch (cause) {
      throw new RuntimeError(kindOf(cause), `layer entry ${printable(entry.path)}`, { cause });
    }
  }

  data(chunk: Buffer, offset: number): void {
    if (this.#copyTo !== undefined) {
      this.#writeAuxiliary(chunk, this.#copyTo + offset);
    }
  }

  end(): void {
    this.#copyTo = undefined;
  }

  /** The whole tree, once the archive has ended; `tarBytes` is its length. */
  finish(tarBytes: number): LayerTree {
    return { root: this.#root, tarBytes, auxiliaryBytes: this.#auxiliary.size };
  }

  #take(entry: TarEntry): void {
    this.#budget.takeEntry(entry);
    const components = cleanPath(entry.path);
    const name = components.pop();
    if (name === undefined) {
      this.#describeRoot(entry);
      return;
    }
    if (name.startsWith(whiteoutPrefix)) {
      this.#whiteOut(components, name);
      return;
    }
    checkName(name);
    const parent = resolveDirectory(this.#root, components, this.#onMade);
    if (entry.type === 'directory') {
      describeDirectory(parent, name, entry);
    } else if (entry.type === 'hardlink') {
      this.#link(parent, name, entry);
    } else {
      parent.children.set(name, this.#leafOf(entry, entry.type));
    }
  }

  #describeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') {
      throw badEntry('the root must be a directory');
    }
    this.#root.inode = inodeOf(entry, 'directory');
    this.#root.isImplicit = false;
  }

  #whiteOut(components: readonly string[], marker: string): void {
    if (marker === opaqueMarker) {
      resolveDirectory(this.#root, components, this.#onMade).isOpaque = true;
      return;
    }
    // AUFS kept its own books under such names; they are no part of the image.
    if (marker.startsWith(metaPrefix)) {
      return;
    }
    const name = marker.slice(whiteoutPrefix.length);
    if (name === '' || name === '.' || name === '..') {
      throw badEntry('a whiteout of nothing');
    }
    checkName(name);
    const parent = resolveDirectory(this.#root, components, this.#onMade);
    const node = parent.children.get(name);
    if (node === undefined) {
      parent.children.set(name, whiteout);
    } else if (node.type === 'directory') {
      // A whiteout hides what is below this layer, never what this layer brings.
      node.isOpaque = true;
    }
  }

  #leafOf(entry: TarEntry, kind: Exclude<FileKind, 'directory'>): Leaf | typeof whiteout {
    if (kind === 'symlink') {
      checkTarget(entry.linkTarget);
    }
    // How overlayfs marks a removed name; a tar that was made of a layer's tree may hold it.
    if (kind === 'char' && entry.major === 0 && entry.minor === 0) {
      return whiteout;
    }
    const data = kind === 'file' ? this.#placeData(entry) : undefined;
    return { type: 'leaf', layer: 0, inode: inodeOf(entry, kind, data) };
  }

  #placeData(entry: TarEntry): FileData | undefined {
    if (entry.size === 0) {
      return undefined;
    }
    const data = dataInTar(entry);
    if (data !== undefined) {
      return data;
    }
    this.#copyTo = this.#auxiliary.take(entry.size);
    return contiguous(entry.size, this.#copyTo, true);
  }

  #link(parent: LayerDirectory, name: string, entry: TarEntry): void {
    const components = cleanPath(entry.linkTarget);
    const last = components.pop();
    if (last === undefined) {
      throw badEntry('hard link to the root');
    }
    const directory = resolveDirectory(this.#root, components, undefined);
    const target = directory.children.get(last);
    // What stands at the new name gives way, and must not take the target with it.
    const replaced = parent.children.get(name);
    if (target?.type !== 'leaf' || (replaced?.type === 'directory' && holds(replaced, directory))) {
      throw badEntry(`hard link to ${printable(entry.linkTarget)}, no file of this layer`);
    }
    parent.children.set(name, target);
  }
}

function describeDirectory(parent: LayerDirectory, name: string, entry: TarEntry): void {
  const node = parent.children.get(name);
  const inode = inodeOf(entry, 'directory');
  if (node?.type === 'directory') {
    node.inode = inode;
    node.isImplicit = false;
    return;
  }
  const isOpaque = node?.type === 'whiteout';
  const children = new Map<string, LayerNode>();
  parent.children.set(name, { type: 'directory', inode, children, isOpaque, isImplicit: false });
}

function inodeOf(entry: TarEntry, kind: FileKind, data?: FileData): Inode {
  const billion = 1_000_000_000n;
  const nanos = ((entry.mtimeNanos % billion) + billion) % billion;
  return {
    kind,
    mode: kind === 'symlink' ? 0o777 : entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    seconds: clamped((entry.mtimeNanos - nanos) / billion),
    nanos: Number(nanos),
    xattrs: xattrsOf(kind, entry.xattrs),
    size: kind === 'file' ? entry.size : 0,
    target: kind === 'symlink' ? entry.linkTarget.toString('latin1') : '',
    rdev: kind === 'char' || kind === 'block' ? deviceOf(entry) : 0,
    ...(data === undefined ? {} : { data }),
  };
}

function deviceOf({ major, minor }: TarEntry): number {
  const rdev = rdevOf(major, minor);
  if (rdev === undefined) {
    throw badEntry(`device ${major}:${minor} is out of range`);
  }
  return rdev;
}

function checkTarget(target: Buffer): void {
  if (target.length === 0) {
    throw badEntry('symbolic link to nothing');
  }
  if (target.length > maxTargetBytes) {
    throw badEntry(`symbolic link to a path of ${target.length} bytes`);
  }
}

/** Times beyond 285 million years are cut off. */
function clamped(seconds: bigint): number {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(seconds > limit ? limit : seconds < -limit ? -limit : seconds);
}

function holds(top: LayerDirectory, wanted: LayerDirectory): boolean {
  const pending = [top];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node === wanted) {
      return true;
    }
    for (const child of node.children.values()) {
      if (child.type === 'directory') {
        pending.push(child);
      }
    }
  }
  return false;
}
