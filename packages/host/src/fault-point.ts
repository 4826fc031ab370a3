import { readFileSync, rmSync } from 'node:fs';

const armedFile = process.env['GANTRY_FAULT_FILE'] ?? '';
const passes = new Map<string, number>();

/**
 * A place at which tests can make this process die as `kill -9` would, at once.
 * The file that GANTRY_FAULT_FILE names holds the name of the one that is armed,
 * or `name:3` for its third pass in this process. It is removed first, so that
 * the process which is started next passes. Costs one comparison without it.
 */
export function faultPoint(name: string): void {
  if (armedFile === '') {
    return;
  }
  const pass = (passes.get(name) ?? 0) + 1;
  passes.set(name, pass);
  const armed = contentOf(armedFile);
  if (armed === `${name}:${String(pass)}` || armed === name) {
    rmSync(armedFile, { force: true });
    process.kill(process.pid, 'SIGKILL');
    // The signal may reach another thread first: go no further on this one.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
