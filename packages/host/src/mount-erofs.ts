import { openSync } from 'node:fs';
import {
  attachMount,
  createDetached,
  Descriptors,
  openFilesystem,
  setOption,
} from './mount-syscalls.ts';
import { requireCleanPath } from './system-error.ts';

export interface ErofsImage {
  /** The file that holds the metadata; on a file system that can back EROFS: not tmpfs. */
  readonly source: string;
  /** The files of the device table, in its order. */
  readonly devices: readonly string[];
}

/** A mount that has no place in the tree: gone when it is disposed of, or the process dies. */
export interface DetachedMount extends Disposable {
  /** Leads to its root while it is open, in this process. */
  readonly path: string;
}

const longestString = 255; // of fsconfig(2)

/**
 * Mounts a file-backed EROFS image, read-only as it always is (Linux 6.12 with
 * CONFIG_EROFS_FS_BACKED_BY_FILE), on an existing directory. Throws a system
 * error that names the image; nothing is mounted or open then.
 */
export function mountErofs(image: ErofsImage, target: string): Promise<void> {
  // Promise.try: the calls are made here, but throw as a rejection.
  return Promise.try(() => {
    const doing = `mount ${image.source} on ${target}`;
    requireCleanPath(target, doing);
    using held = new Descriptors();
    attachMount(created(held, image, doing), target, doing);
  });
}

/** As `mountErofs`, but seen by this process alone. */
export function openErofs(image: ErofsImage): DetachedMount {
  const held = new Descriptors();
  try {
    const fd = created(held, image, `mount ${image.source}`);
    return {
      path: `/proc/self/fd/${String(fd)}`,
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

function created(held: Descriptors, { source, devices }: ErofsImage, doing: string): number {
  const fs = held.add(openFilesystem('erofs', doing));
  setOption(fs, 'source', short(held, source, doing), doing);
  for (const device of devices) {
    setOption(fs, 'device', short(held, device, doing), doing);
  }
  return held.add(createDetached(fs, doing));
}

function short(held: Descriptors, path: string, doing: string): string {
  requireCleanPath(path, doing);
  return Buffer.byteLength(path) > longestString
    ? `/proc/self/fd/${String(held.add(openSync(path, 'r')))}`
    : path;
}
