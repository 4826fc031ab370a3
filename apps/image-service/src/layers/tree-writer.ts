import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { type ErrorKind, kindOf, RuntimeError } from '@gantry/errors';
import { hasCode, makeNode, setTimes, setXattr } from '@gantry/host';
import { printable, type TarEntry, type TarSink } from '@gantry/tar';
import { applyAttributes } from './attributes.ts';
import { forDenseParts } from './dense-parts.ts';
import {
  cleanPath,
  isInTheWay,
  isWhiteout,
  lstatOrNothing,
  RootedDirectories,
  toBytes,
} from './in-root.ts';

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';
const metaPrefix = '.wh..wh.';
const nodeTypes = { char: 0o020000, block: 0o060000, fifo: 0o010000 } as const;

interface OpenFile {
  readonly path: string;
  readonly fd: number;
  readonly entry: TarEntry;
  /** Behind the last byte that was written. */
  end: number;
}

/**
 * Writes a layer's entries below a directory that is nobody else's, the way
 * overlayfs wants a lower layer: whiteouts (OCI image spec, layer.md) become
 * character devices 0:0 and opaque marks. Synchronous: for a worker thread.
 */
export class TreeWriter implements TarSink {
  readonly #root: string;
  readonly #directories: RootedDirectories;
  readonly #directoryTimes = new Map<string, bigint>();
  readonly #implicit = new Set<string>();
  #file: OpenFile | undefined;

  /** `root` is an empty directory, as an absolute path. */
  constructor(root: string) {
    this.#root = Buffer.from(root).toString('latin1');
    this.#directories = new RootedDirectories(this.#root, {
      made: (path) => this.#implicit.add(path),
      replaceWhiteout: (path) => {
        rmSync(toBytes(path));
        // Not an implicit one: it shares nothing with what the whiteout took away.
        this.#makeOpaqueDirectory(path);
      },
    });
    this.#implicit.add(this.#root);
    chmodSync(root, 0o755);
  }

  entry(entry: TarEntry): void {
    try {
      this.#take(entry);
    } catch (cause) {
      throw extractError(entry, cause);
    }
  }

  data(chunk: Buffer, offset: number): void {
    const file = this.#file;
    if (file === undefined) {
      return;
    }
    try {
      forDenseParts(chunk, offset, (start, end) => {
        for (let done = start; done < end; ) {
          done += writeSync(file.fd, chunk, done, end - done, offset + done);
        }
        file.end = offset + end;
      });
    } catch (cause) {
      throw extractError(file.entry, cause);
    }
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) {
      return;
    }
    try {
      // It may end in zeros, which nobody wrote.
      if (file.end < file.entry.size) {
        ftruncateSync(file.fd, file.entry.size);
      }
      applyAttributes(file.path, file.entry, file.fd);
    } catch (cause) {
      throw extractError(file.entry, cause);
    } finally {
      this.close();
    }
  }

  /** Sets what only holds once nothing more is written: the times of directories. */
  finish(): void {
    for (const [path, mtimeNanos] of this.#directoryTimes) {
      setTimes(toBytes(path), mtimeNanos, mtimeNanos);
    }
  }

  /** Closes what a failure left open. */
  close(): void {
    if (this.#file !== undefined) {
      closeSync(this.#file.fd);
      this.#file = undefined;
    }
  }

  /** Directories that the archive has no entry for, relative to the root (itself `''`), one character a byte. */
  implicitDirectories(): string[] {
    return [...this.#implicit].map((path) => path.slice(this.#root.length + 1)).sort();
  }

  #take(entry: TarEntry): void {
    const components = cleanPath(entry.path);
    const name = components.pop();
    if (name === undefined) {
      this.#takeRoot(entry);
      return;
    }
    if (name.startsWith(whiteoutPrefix)) {
      this.#whiteOut(components, name);
      return;
    }
    this.#write(`${this.#directories.resolve(components)}/${name}`, entry);
  }

  #takeRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') {
      throw new RuntimeError('invalid-argument', 'the root must be a directory');
    }
    this.#describeDirectory(this.#root, entry);
  }

  #whiteOut(components: readonly string[], marker: string): void {
    if (marker === opaqueMarker) {
      this.#markOpaque(this.#directories.resolve(components));
      return;
    }
    // AUFS kept its own books under such names; they are no part of the image.
    if (marker.startsWith(metaPrefix)) {
      return;
    }
    const name = marker.slice(whiteoutPrefix.length);
    if (name === '' || name === '.' || name === '..') {
      throw new RuntimeError('invalid-argument', 'a whiteout of nothing');
    }
    const path = `${this.#directories.resolve(components)}/${name}`;
    const stats = lstatOrNothing(path);
    if (stats === undefined) {
      makeNode(toBytes(path), nodeTypes.char, 0, 0);
    } else if (stats.isDirectory()) {
      // A whiteout hides what is below this layer, never what this layer brings.
      this.#markOpaque(path);
    }
  }

  #write(path: string, entry: TarEntry): void {
    switch (entry.type) {
      case 'file':
        this.#openFile(path, entry);
        return;
      case 'directory':
        this.#writeDirectory(path, entry);
        return;
      case 'hardlink':
        this.#link(path, entry);
        return;
      case 'symlink':
        if (entry.linkTarget.length === 0) {
          throw new RuntimeError('invalid-argument', 'symbolic link to nothing');
        }
        this.#replacing(path, () => symlinkSync(entry.linkTarget, toBytes(path)));
        break;
      default: {
        const mode = nodeTypes[entry.type];
        const { major, minor } = entry;
        this.#replacing(path, () => makeNode(toBytes(path), mode | 0o600, major, minor));
      }
    }
    applyAttributes(path, entry);
  }

  #openFile(path: string, entry: TarEntry): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    this.#replacing(path, () => {
      this.#file = { path, entry, fd: openSync(toBytes(path), flags, 0o600), end: 0 };
    });
  }

  #writeDirectory(path: string, entry: TarEntry): void {
    const stats = lstatOrNothing(path);
    if (stats === undefined) {
      mkdirSync(toBytes(path), 0o700);
    } else if (!stats.isDirectory()) {
      this.#remove(path);
      if (isWhiteout(stats)) {
        this.#makeOpaqueDirectory(path);
      } else {
        mkdirSync(toBytes(path), 0o700);
      }
    }
    this.#directories.remember(path);
    this.#describeDirectory(path, entry);
  }

  #describeDirectory(path: string, entry: TarEntry): void {
    applyAttributes(path, entry);
    this.#directoryTimes.set(path, entry.mtimeNanos);
    this.#implicit.delete(path);
  }

  #link(path: string, entry: TarEntry): void {
    const components = cleanPath(entry.linkTarget);
    const name = components.pop();
    if (name === undefined) {
      throw new RuntimeError('invalid-argument', 'hard link to the root');
    }
    const target = `${this.#directories.resolve(components, false)}/${name}`;
    if (target === path) {
      return;
    }
    // What stands at `path` gives way, and must not take the target with it.
    const stats = target.startsWith(`${path}/`) ? undefined : lstatOrNothing(target);
    if (stats === undefined || isWhiteout(stats) || stats.isDirectory()) {
      const shown = printable(entry.linkTarget);
      throw new RuntimeError('invalid-argument', `hard link to ${shown}, no file of this layer`);
    }
    // link(2) does not follow a symlink at the end of either path.
    this.#replacing(path, () => linkSync(toBytes(target), toBytes(path)));
  }

  /** Makes something at `path`; what stands there already gives way. */
  #replacing(path: string, make: () => void): void {
    try {
      make();
    } catch (error) {
      if (!isInTheWay(error)) {
        throw error;
      }
      this.#remove(path);
      make();
    }
  }

  #remove(path: string): void {
    rmSync(toBytes(path), { recursive: true, force: true });
    this.#directories.forgetAll();
    for (const set of [this.#directoryTimes, this.#implicit]) {
      for (const known of set.keys()) {
        if (known === path || known.startsWith(`${path}/`)) {
          set.delete(known);
        }
      }
    }
  }

  #makeOpaqueDirectory(path: string): void {
    mkdirSync(toBytes(path));
    chmodSync(toBytes(path), 0o755);
    this.#markOpaque(path);
  }

  #markOpaque(path: string): void {
    setXattr(toBytes(path), 'trusted.overlay.opaque', Buffer.from('y'));
  }
}

function extractError(entry: TarEntry, cause: unknown): RuntimeError {
  return new RuntimeError(kindOfFault(cause), `extract ${printable(entry.path)}`, { cause });
}

/** A full disk is told as such whichever call found it. */
export function kindOfFault(cause: unknown): ErrorKind {
  return hasCode(cause, 'ENOSPC', 'EDQUOT') ? 'resource-exhausted' : kindOf(cause);
}

/** Reports whether that is at the bottom of an error. */
export function isFullDisk(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (hasCode(e, 'ENOSPC', 'EDQUOT')) {
      return true;
    }
  }
  return false;
}
