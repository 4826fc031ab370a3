import { readFileSync, rmSync } from 'node:fs';

const armedFile = process.env['GANTRY_FAULT_FILE'];
const { name: armedName, pass: armedPass } = parse(process.env['GANTRY_FAULT'] ?? '');
let passed = 0;

/**
 * A place at which tests can make this process die as `kill -9` would, at once.
 * GANTRY_FAULT=`name` arms it in every process that has the variable, `name:3`
 * for the third pass. The file that GANTRY_FAULT_FILE names arms the one that it
 * holds for a single death: it is removed first, so that the process which is
 * started next passes. Costs two comparisons when neither is set.
 */
export function faultPoint(name: string): void {
  if (isArmedByName(name) || isArmedByFile(name)) {
    process.kill(process.pid, 'SIGKILL');
    // The signal may reach another thread first: go no further on this one.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
}

function isArmedByName(name: string): boolean {
  if (name !== armedName) {
    return false;
  }
  passed += 1;
  return passed === armedPass;
}

function isArmedByFile(name: string): boolean {
  if (armedFile === undefined || armedFile === '' || contentOf(armedFile) !== name) {
    return false;
  }
  rmSync(armedFile, { force: true });
  return true;
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function parse(fault: string): { name: string | undefined; pass: number } {
  const match = /^(.+?)(?::(\d+))?$/.exec(fault);
  return { name: match?.[1], pass: Number(match?.[2] ?? 1) };
}
