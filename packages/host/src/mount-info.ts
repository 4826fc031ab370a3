import { readFile } from 'node:fs/promises';

export interface MountInfo {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** What part of the file system is mounted; the bound path for a bind mount. */
  readonly root: string;
  /** Of the mount and of the file system, joined by commas. */
  readonly options: string;
}

/** The mounts of our mount namespace in the order of mounting (proc_pid_mountinfo(5)). */
export async function mountInfo(): Promise<readonly MountInfo[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Lines that can't be understood are left out. */
export function parseMountInfo(text: string): readonly MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split('\n')) {
    // id parent major:minor root mountPoint options [optional fields] - type source superOptions
    const [left = '', right] = line.split(/ - (.*)/s);
    const [, , , root, mountPoint, options] = left.split(' ');
    const [fsType, source, superOptions] = right?.split(' ') ?? [];
    if (root === undefined || mountPoint === undefined || fsType === undefined) {
      continue;
    }
    mounts.push({
      mountPoint: decodeOctal(mountPoint),
      fsType,
      source: decodeOctal(source ?? ''),
      root: decodeOctal(root),
      options: decodeOctal([options, superOptions].filter(Boolean).join(',')),
    });
  }
  return mounts;
}

// The kernel writes space, tab, newline, # and \ as three octal digits.
function decodeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
