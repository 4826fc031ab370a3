/*
 * Runs the end-to-end tests: the real stack, driven through its sockets, in
 * namespaces of its own. Only cgroups and files are left to be removed, here.
 *
 *   node tests-e2e/run.ts [--test-... options of node] [files]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, env, exit, getuid, stderr } from 'node:process';
import { removeTestCgroups } from './setup/cgroups.ts';
import { buildCrictl } from './setup/crictl.ts';
import { buildTestImages } from './setup/images.ts';
import { runIsolated } from './setup/isolate.ts';
import { nriPlugins } from './setup/nri-plugins.ts';
import { missingTools } from './setup/tools.ts';

async function main(): Promise<number> {
  if (getuid?.() !== 0) {
    stderr.write('e2e: not root: the tests mount, make namespaces and run containers\n');
    return 1;
  }
  const missing = missingTools();
  if (missing.length > 0) {
    stderr.write(`e2e: missing tools: apt-get install ${missing.join(' ')}\n`);
    return 1;
  }
  const args = argv.slice(2);
  const files = args.filter((arg) => !arg.startsWith('--'));
  const dir = await mkdtemp('/tmp/gantry-e2e-');
  try {
    const crictl = buildCrictl();
    if (crictl === undefined) {
      stderr.write('e2e: no Go toolchain on this host: the tests of crictl are skipped\n');
    }
    await buildTestImages(join(dir, 'images'));
    return await runIsolated(
      [
        '--test',
        '--test-concurrency=1',
        '--test-timeout=300000',
        ...args.filter((arg) => arg.startsWith('--')),
        ...(files.length > 0 ? files : ['tests-e2e/*.test.ts']),
      ],
      {
        cwd: dirname(import.meta.dirname),
        env: {
          ...env,
          GANTRY_E2E_DIR: dir,
          ...(crictl === undefined ? {} : { GANTRY_E2E_CRICTL: crictl }),
          // Built here: the tests have no network.
          ...(files.length === 0 || files.some((f) => f.includes('nri')) ? nriPlugins() : {}),
        },
      },
    );
  } finally {
    await removeTestCgroups(dir);
    await rm(dir, { recursive: true, force: true });
  }
}

exit(await main());
