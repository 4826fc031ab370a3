import { readFileSync, rmSync } from 'node:fs';

const armed = process.env['GANTRY_FAULT_FILE'];

/**
 * A place at which tests can make this process die as `kill -9` would: when the
 * file that GANTRY_FAULT_FILE names holds `name`, the file is removed, so that
 * the next process passes, and this one dies at once. Without that variable it
 * costs one comparison.
 */
export function faultPoint(name: string): void {
  if (armed === undefined || armed === '' || wanted(armed) !== name) {
    return;
  }
  rmSync(armed, { force: true });
  process.kill(process.pid, 'SIGKILL');
  // The signal may reach another thread first: go no further on this one.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function wanted(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
