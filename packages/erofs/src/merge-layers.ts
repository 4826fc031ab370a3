import type { Inode } from './inode.ts';
import { implicitDirectory, type LayerDirectory, type LayerTree, type Leaf } from './layer-tree.ts';

/** A directory as all layers together show it. */
export interface ImageDirectory {
  readonly type: 'directory';
  inode: Inode;
  readonly children: Map<string, ImageNode>;
}

export type ImageNode = ImageDirectory | Leaf;

/**
 * Lays layers over each other, the lowest first, as overlayfs would: whiteouts
 * and opaque marks take effect and are gone. A directory that a layer only
 * speaks of in passing keeps what the layers below say of it.
 */
export function mergeLayers(layers: readonly Pick<LayerTree, 'root'>[]): ImageDirectory {
  const { inode } = implicitDirectory();
  const root: ImageDirectory = { type: 'directory', inode, children: new Map() };
  for (const layer of layers) {
    merge(root, layer.root);
  }
  return root;
}

/** Recursion is bounded: layers are no deeper than `maxDepth`. */
function merge(target: ImageDirectory, upper: LayerDirectory): void {
  if (upper.isOpaque) {
    target.children.clear();
  }
  if (!upper.isImplicit) {
    target.inode = upper.inode;
  }
  for (const [name, node] of upper.children) {
    if (node.type === 'whiteout') {
      target.children.delete(name);
    } else if (node.type === 'leaf') {
      target.children.set(name, node);
    } else {
      merge(directoryAt(target, name, node), node);
    }
  }
}

function directoryAt(parent: ImageDirectory, name: string, upper: LayerDirectory): ImageDirectory {
  const existing = parent.children.get(name);
  if (existing?.type === 'directory') {
    return existing;
  }
  const made: ImageDirectory = { type: 'directory', inode: upper.inode, children: new Map() };
  parent.children.set(name, made);
  return made;
}
