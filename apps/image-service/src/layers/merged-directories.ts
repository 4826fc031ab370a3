import { chmod, chown, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lstatOrNothing } from './in-root.ts';
import type { LayerNotes } from './unpack-job.ts';

/*
 * overlayfs shows a directory with the mode and owner of its topmost layer. A
 * layer may bring `tmp/x` without an entry for `tmp`: extracted on its own, its
 * `tmp` has made-up attributes that would hide the real ones below. For such
 * directories a chain gets one more layer on top of it, with nothing but these
 * directories and the attributes they should have.
 */

/** One layer of a chain: where its tree is, and which directories it has made up. */
export interface ChainLayer {
  readonly root: string;
  readonly implicit: ReadonlySet<string>;
}

interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const madeUp: Attributes = { mode: 0o755, uid: 0, gid: 0 };

/** Reads the notes that the worker left beside a tree. */
export async function readChainLayer(directory: string): Promise<ChainLayer> {
  const notes = JSON.parse(await readFile(join(directory, 'layer.json'), 'utf8')) as LayerNotes;
  return { root: join(directory, 'fs'), implicit: new Set(notes.implicit) };
}

/**
 * Directories of a chain (topmost layer first) that need their attributes set
 * right, by path, parents first; empty for nearly every image.
 */
export function repairsOf(chain: readonly ChainLayer[]): Map<string, Attributes> {
  const wanted = new Set<string>();
  for (const [index, layer] of chain.entries()) {
    for (const path of layer.implicit) {
      if (topmost(chain, path) === index && differs(attributesOf(chain, path))) {
        wanted.add(path);
      }
    }
  }
  // Whatever leads to a repaired directory is topmost itself and must be right too.
  for (const path of [...wanted]) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      wanted.add(path.slice(0, at));
    }
    wanted.add('');
  }
  return new Map([...wanted].sort().map((path) => [path, attributesOf(chain, path) ?? madeUp]));
}

/** Makes the directories of `repairs` below `root`, which exists. */
export async function writeRepairs(
  root: string,
  repairs: ReadonlyMap<string, Attributes>,
): Promise<void> {
  for (const [path, { mode, uid, gid }] of repairs) {
    const directory = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
    if (path !== '') {
      await mkdir(directory);
    }
    await chown(directory, uid, gid);
    await chmod(directory, mode);
  }
}

/** The index of the uppermost layer that shows a directory at `path`. */
function topmost(chain: readonly ChainLayer[], path: string): number {
  return chain.findIndex((layer) => statIn(layer, path)?.isDirectory() === true);
}

/** What the merged directory should have: undefined where no layer below says so, or something hides it. */
function attributesOf(chain: readonly ChainLayer[], path: string): Attributes | undefined {
  for (const layer of chain) {
    const stats = statIn(layer, path);
    if (stats?.isDirectory() === true && !layer.implicit.has(path)) {
      return { mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid };
    }
    if (hidesBelow(layer, path, stats)) {
      return undefined;
    }
  }
  return undefined;
}

function statIn({ root }: ChainLayer, path: string) {
  const top = Buffer.from(root).toString('latin1');
  return isReachable(top, path) ? lstatOrNothing(path === '' ? top : `${top}/${path}`) : undefined;
}

/** A link on the way leads elsewhere: overlayfs would not merge through it. */
function isReachable(top: string, path: string): boolean {
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    if (lstatOrNothing(`${top}/${path.slice(0, at)}`)?.isDirectory() !== true) {
      return false;
    }
  }
  return true;
}

/** A file, link or whiteout at `path`, or at a parent of it, ends the merge. */
function hidesBelow(layer: ChainLayer, path: string, stats: ReturnType<typeof statIn>): boolean {
  if (stats !== undefined) {
    return !stats.isDirectory();
  }
  const top = Buffer.from(layer.root).toString('latin1');
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    const parent = lstatOrNothing(`${top}/${path.slice(0, at)}`);
    if (parent !== undefined && !parent.isDirectory()) {
      return true;
    }
  }
  return false;
}

function differs(attributes: Attributes | undefined): attributes is Attributes {
  return (
    attributes !== undefined &&
    (attributes.mode !== madeUp.mode ||
      attributes.uid !== madeUp.uid ||
      attributes.gid !== madeUp.gid)
  );
}
