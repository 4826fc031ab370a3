import { accessSync, constants, existsSync, fchmodSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { checked, closeFd, lazily } from './libc.ts';
import { openMemory } from './memory-file.ts';

const fcntl = lazily<[number, number, number]>('fcntl', ['int', 'int', 'int']);
const addSeals = 1033; // F_ADD_SEALS
const allSeals = 0x1 | 0x2 | 0x4 | 0x8; // F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
// SELinux goes by the label of the file when it chooses a program's domain.
const selinux = '/sys/fs/selinux/enforce';
/** Which programs make a copy of themselves, and look whether they are one. */
const selfCopying: ReadonlySet<string> = new Set(['runc']);
/** How long whoever was told a path may take to start the program. */
const graceMs = 60_000;

interface Copy {
  readonly identity: string;
  /** The program's own path where no copy could be made. */
  readonly path: string;
  readonly close: () => void;
}

const copies = new Map<string, Copy>();

/**
 * The path of a copy of runc in memory that nobody can change any more; it is
 * good for as long as this process lives. runc makes such a copy of itself for
 * each create and exec, so that no container can overwrite it (CVE-2019-5736),
 * and takes 5 of an exec's 35 ms for that, unless it runs from one already. One
 * that was replaced on the disk is copied anew. For any other program, and
 * where the system forbids it, the path itself.
 */
export function sealedProgram(path: string): string {
  if (!selfCopying.has(basename(path))) {
    return path;
  }
  const identity = identityOf(path);
  const known = copies.get(path);
  if (known?.identity === identity) {
    return known?.path ?? path;
  }
  if (known !== undefined) {
    copies.delete(path);
    setTimeout(known.close, graceMs).unref();
  }
  if (identity === undefined) {
    return path;
  }
  const copy = { identity, ...(seal(path) ?? { path, close: () => undefined }) };
  copies.set(path, copy);
  return copy.path;
}

/** Undefined when it is not there. */
function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat && [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':');
}

function seal(program: string): Omit<Copy, 'identity'> | undefined {
  if (existsSync(selinux)) {
    return undefined;
  }
  using undo = new DisposableStack();
  try {
    const content = readFileSync(program);
    const fd = undo.adopt(openMemory(basename(program), content, 'program'), closeFd);
    fchmodSync(fd, 0o755);
    checked(fcntl()(fd, addSeals, allSeals), `seal a copy of ${program}`);
    // Not /proc/self: others, conmon for one, start it too.
    const path = `/proc/${String(process.pid)}/fd/${String(fd)}`;
    accessSync(path, constants.X_OK);
    undo.move();
    return { path, close: () => closeFd(fd) };
  } catch {
    // vm.memfd_noexec=2, a /proc of other pids, no memory: it runs from the disk, as ever.
    return undefined;
  }
}
