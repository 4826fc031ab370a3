import { join } from 'node:path';
import { env } from 'node:process';

/** The directory of this run, made by run.ts. Throws where a test file is run without it. */
export function runDir(): string {
  const dir = env['GANTRY_E2E_DIR'];
  if (dir === undefined) {
    throw new Error('GANTRY_E2E_DIR is not set: run the tests by `npm run e2e -- FILE`');
  }
  return dir;
}

/** An OCI layout that run.ts made: `pause` or `busybox`. */
export function imageLayout(name: 'pause' | 'busybox'): string {
  return join(runDir(), 'images', name);
}
