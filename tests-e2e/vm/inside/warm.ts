/*
 * Runs in the machine's files before it boots, as fast as the host: has Node compile
 * what Gantry and the tests load, for under emulation that alone takes minutes.
 */

import { globSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { exit } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const modules = ['apps/*/src/service.ts', 'apps/gantry/src/{program,commands/{up,doctor}}.ts'];
for (const path of globSync([...modules, 'tests-e2e/vm/inside/guest.ts'], { cwd: root })) {
  await import(pathToFileURL(join(root, path)).href);
}
flushCompileCache();
exit();
