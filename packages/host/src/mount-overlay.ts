import { existsSync } from 'node:fs';
import { RuntimeError } from '@gantry/errors';
import { requireCleanLabel } from './mount.ts';
import {
  attachMount,
  createDetached,
  Descriptors,
  mountClassic,
  openFilesystem,
  setFlag,
  setOption,
  trySetOption,
} from './mount-syscalls.ts';
import { hasCode, requireCleanPath, systemError } from './system-error.ts';

export interface OverlayMount {
  /** At least one, the topmost first. */
  readonly lowerDirs: readonly string[];
  /** Absent, with `workDir`, for a read-only overlay of two or more lower directories. */
  readonly upperDir?: string | undefined;
  readonly workDir?: string | undefined;
  /** An existing directory. */
  readonly target: string;
  /**
   * Never syncs the upper directory, not even at unmount (Linux 5.10). After a
   * crash the upper directory can't be mounted again.
   */
  readonly volatile?: boolean;
  /** The SELinux label of every file in it, whatever the layers say; a kernel without SELinux refuses. */
  readonly label?: string | undefined;
  /** How to talk to the kernel; found out when absent. `mount` is for kernels before 6.8. */
  readonly method?: 'fsconfig' | 'mount';
}

const longestString = 255; // of fsconfig(2)
const dataPage = 4095; // of mount(2)
const invalid = 22; // EINVAL
const labelKey = 'context';
/** Whether this kernel takes lower directories one by one; undefined until it has shown. */
let appends: boolean | undefined;

/**
 * Mounts an overlay of any number of lower directories (up to the kernel's 500;
 * about 230 before Linux 6.8), whatever characters their paths have. Throws a
 * system error that names the target and what the kernel complained of; nothing
 * is mounted or open then.
 */
export function mountOverlay(o: OverlayMount): Promise<void> {
  // Promise.try: the calls take microseconds and are made here, but throw as a rejection.
  return Promise.try(() => {
    const doing = `mount overlay on ${o.target}`;
    for (const path of [...o.lowerDirs, ...upperOptions(o).map(([, path]) => path), o.target]) {
      requireCleanPath(path, doing);
    }
    requireCleanLabel(o.label, doing);
    if (o.lowerDirs.length === 0) {
      throw new RuntimeError('invalid-argument', `${doing}: no lower directory`);
    }
    const isClassic = o.method === 'mount' || (o.method === undefined && appends === false);
    if (!isClassic && mountByFsconfig(o, doing)) {
      appends = true;
      return;
    }
    mountByDataPage(o, doing);
    if (o.method === undefined) {
      // Not asked again: what it does not know is told in the kernel's log each time.
      appends = false;
    }
  });
}

/** Returns false, with nothing done, where the kernel can't take lower directories one by one. */
function mountByFsconfig(o: OverlayMount, doing: string): boolean {
  using held = new Descriptors();
  const fs = openOverlay(held, doing);
  if (fs === undefined) {
    return false;
  }
  for (const [index, path] of o.lowerDirs.entries()) {
    const errno = trySetOption(fs, 'lowerdir+', plain(path, held, doing));
    // The key is unknown before Linux 6.8 (Documentation/filesystems/overlayfs.rst).
    if (errno === invalid && index === 0 && o.method === undefined) {
      return false;
    }
    if (errno !== 0) {
      throw systemError(errno, `${doing}: lower directory ${path}`);
    }
  }
  setOption(fs, 'source', 'overlay', doing);
  for (const [key, path] of upperOptions(o)) {
    setOption(fs, key, plain(path, held, doing), `${doing}: ${key} ${path}`);
  }
  for (const [key, value] of fixedOptions(o)) {
    if (value === undefined) {
      setFlag(fs, key, doing);
    } else {
      setOption(fs, key, value, doing);
    }
  }
  const mount = createOverlay(fs, doing, o.method === undefined && appends === undefined);
  if (mount === undefined) {
    return false;
  }
  attachMount(held.add(mount), o.target, doing);
  return true;
}

/** Before Linux 6.5 overlayfs looks at its options only now, and does not know `lowerdir+` then. */
function createOverlay(fs: number, doing: string, mayBeOld: boolean): number | undefined {
  try {
    return createDetached(fs, doing);
  } catch (error) {
    if (mayBeOld && hasCode(error, 'EINVAL')) {
      return undefined;
    }
    throw error;
  }
}

function openOverlay(held: Descriptors, doing: string): number | undefined {
  try {
    return held.add(openFilesystem('overlay', doing));
  } catch (error) {
    if (hasCode(error, 'ENOSYS')) {
      return undefined;
    }
    throw error;
  }
}

/** Every path by a descriptor: the page of options is small, and `:`, `,` and `\` mean something in it. */
function mountByDataPage(o: OverlayMount, doing: string): void {
  using held = new Descriptors();
  const alias = (path: string): string => held.alias(path, doing);
  const data = [
    `lowerdir=${o.lowerDirs.map(alias).join(':')}`,
    ...upperOptions(o).map(([key, path]) => `${key}=${alias(path)}`),
    ...fixedOptions(o).map(([key, value]) => (value === undefined ? key : dataOf(key, value))),
  ].join(',');
  if (data.length > dataPage) {
    const message = `${doing}: ${String(o.lowerDirs.length)} layers are more than this kernel takes`;
    throw new RuntimeError('failed-precondition', message);
  }
  mountClassic({ source: 'overlay', target: o.target, type: 'overlay', flags: 0, data }, doing);
}

function upperOptions({ upperDir, workDir }: OverlayMount): (readonly [string, string])[] {
  return [
    ...(upperDir === undefined ? [] : [['upperdir', upperDir] as const]),
    ...(workDir === undefined ? [] : [['workdir', workDir] as const]),
  ];
}

function fixedOptions(o: OverlayMount): (readonly [string, string | undefined])[] {
  const options: (readonly [string, string | undefined])[] = [];
  // An index would bind the upper directory to the lower ones by file handles, which some of them lack.
  if (existsSync('/sys/module/overlay/parameters/index')) {
    options.push(['index', 'off']);
  }
  if (o.volatile === true) {
    options.push(['volatile', undefined]);
  }
  if (o.label !== undefined) {
    options.push([labelKey, o.label]);
  }
  return options;
}

/** A label has commas: SELinux takes it in quotes here, and without by fsconfig. */
function dataOf(key: string, value: string): string {
  return key === labelKey ? `${key}="${value}"` : `${key}=${value}`;
}

function plain(path: string, held: Descriptors, doing: string): string {
  return Buffer.byteLength(path) > longestString || /[\\:,]/.test(path)
    ? held.alias(path, doing)
    : path;
}
