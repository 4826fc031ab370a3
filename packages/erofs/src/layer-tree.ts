import type { Inode } from './inode.ts';

/** The name is gone, whatever the layers below have there. */
export interface Whiteout {
  readonly type: 'whiteout';
}

/** Anything but a directory. Hard links are one leaf under several names. */
export interface Leaf {
  readonly type: 'leaf';
  readonly inode: Inode;
  /** Which layer of the image its data lies in, counted from the lowest. */
  readonly layer: number;
}

export interface LayerDirectory {
  readonly type: 'directory';
  inode: Inode;
  readonly children: Map<string, LayerNode>;
  /** Shows nothing of the layers below. */
  isOpaque: boolean;
  /** The archive has no entry for it: the attributes of the layers below hold. */
  isImplicit: boolean;
}

export type LayerNode = Whiteout | Leaf | LayerDirectory;

/** A layer as it was read from its tar. */
export interface LayerTree {
  readonly root: LayerDirectory;
  /** Sizes of the files that data points into. */
  readonly tarBytes: number;
  readonly auxiliaryBytes: number;
}

export const whiteout: Whiteout = { type: 'whiteout' };

const madeUp: Inode = {
  kind: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  seconds: 0,
  nanos: 0,
  xattrs: [],
  size: 0,
  target: '',
  rdev: 0,
};

/** A directory that an archive only speaks of in the paths of others. */
export function implicitDirectory(): LayerDirectory {
  return {
    type: 'directory',
    inode: madeUp,
    children: new Map(),
    isOpaque: false,
    isImplicit: true,
  };
}

/** The same where a whiteout stood: it shares nothing with what was there. */
export function newDirectory(): LayerDirectory {
  return { ...implicitDirectory(), isOpaque: true, isImplicit: false };
}
