import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { run, unmount } from '@gantry/host';

/*
 * A disk whose power can be cut: a file that a loop device shows as one. What
 * the file system on it has not written to the device is in the page cache
 * alone, so that a copy of the file is what a host would find after the cut:
 * all that was synced, and little else, for nothing is written back meanwhile.
 */

const bytes = 96 << 20;
// Commits and allocations of ext4 that would hide a missing fsync come late, or not at all.
const options = 'loop,noatime,noauto_da_alloc,commit=300';

/** False where a loop device with ext4 can be mounted, else why not. */
export function cannotCutPower(): string | false {
  try {
    execFileSync('losetup', ['--find'], { stdio: 'pipe' });
    execFileSync('mkfs.ext4', ['-V'], { stdio: 'pipe' });
    return false;
  } catch {
    return 'needs loop devices and mkfs.ext4';
  }
}

/** Makes an empty disk in a new file. */
export function makeDisk(file: string): void {
  writeFileSync(file, '');
  truncateSync(file, bytes);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-E', 'lazy_itable_init=0', file]);
}

/** Shows a disk at a directory; whatever a cut left in its journal is applied, as at a boot. */
export async function mountDisk(file: string, target: string): Promise<AsyncDisposable> {
  mkdirSync(target, { recursive: true });
  const { exitCode, stderr } = await run('mount', ['-o', options, file, target]);
  assert.equal(exitCode, 0, stderr.toString());
  // Detached: a failure before it leaves files open, and must be told instead of them.
  return { [Symbol.asyncDispose]: () => unmount(target, { detach: true }) };
}

/** The disk as it would be found if the power went now. Nothing may be writing to it. */
export function cutPower(file: string, copy: string): void {
  execFileSync('cp', ['--sparse=always', file, copy]);
}

/** Stops a process and waits until none of its threads is in the middle of a write or sync. */
export async function freeze(child: ChildProcess): Promise<void> {
  child.kill('SIGSTOP');
  while (!isFrozen(child)) {
    await delay(1);
  }
}

/** Reports whether every thread of a process has stopped. */
function isFrozen({ pid, exitCode }: ChildProcess): boolean {
  assert.equal(exitCode, null, 'the process ended before its time');
  return readdirSync(`/proc/${pid}/task`).every((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    return status[status.lastIndexOf(')') + 2] === 'T';
  });
}
