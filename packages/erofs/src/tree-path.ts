import { badEntry } from './bad-entry.ts';
import { maxNameBytes } from './inode.ts';
import { implicitDirectory, type LayerDirectory, newDirectory } from './layer-tree.ts';

/** As the kernel: more is a loop. */
const maxLinks = 40;
/** What a path of 4,096 bytes can reach; links could lead deeper. */
export const maxDepth = 2048;

/** Told of a directory before it is made; may throw. */
export type OnMade = (name: string) => void;

/** Components of an archive's path: no empty ones, no `.`; `..` stops at the root. */
export function cleanPath(path: Buffer): string[] {
  const parts: string[] = [];
  for (const part of path.toString('latin1').split('/')) {
    if (part === '..') {
      parts.pop();
    } else if (part !== '' && part !== '.') {
      parts.push(part);
    }
  }
  return parts;
}

/** Throws for a name that no directory can have. */
export function checkName(name: string): void {
  if (name.length > maxNameBytes) {
    throw badEntry(`a name of ${name.length} bytes in its path`);
  }
}

/**
 * The directory that components of a path lead to in a layer. Links of the layer
 * are followed as a process would whose root this is, never out of it. What is
 * missing is made where `create` is given, which is told of it.
 */
export function resolveDirectory(
  root: LayerDirectory,
  components: readonly string[],
  create: OnMade | undefined,
): LayerDirectory {
  const pending = components.toReversed();
  const stack: LayerDirectory[] = [root];
  let links = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') {
      continue;
    }
    if (name === '..') {
      stack.length = Math.max(1, stack.length - 1);
      continue;
    }
    const next = enter(stack.at(-1) ?? root, name, create);
    if (typeof next !== 'string') {
      stack.push(next);
      if (stack.length > maxDepth) {
        throw badEntry(`more than ${maxDepth} directories in its path`);
      }
      continue;
    }
    links += 1;
    if (links > maxLinks) {
      throw badEntry('too many symbolic links in its path');
    }
    if (next.startsWith('/')) {
      stack.length = 1;
    }
    pending.push(...next.split('/').toReversed());
  }
  return stack.at(-1) ?? root;
}

/** The directory of that name, or where the link of that name leads. */
function enter(
  parent: LayerDirectory,
  name: string,
  create: OnMade | undefined,
): LayerDirectory | string {
  const node = parent.children.get(name);
  if (node?.type === 'directory') {
    return node;
  }
  if (node?.type === 'leaf' && node.inode.kind === 'symlink') {
    return node.inode.target;
  }
  if (node?.type === 'leaf') {
    throw badEntry('a parent in its path is not a directory');
  }
  if (create === undefined) {
    throw badEntry('no such directory in this layer');
  }
  checkName(name);
  create(name);
  // Removed first and then filled anew: nothing of what is below comes back.
  const made = node === undefined ? implicitDirectory() : newDirectory();
  parent.children.set(name, made);
  return made;
}
