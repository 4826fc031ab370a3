/*
 * Runs the end-to-end tests: the real stack, driven through its sockets, in
 * namespaces of its own. Only cgroups and files are left to be removed, here.
 *
 *   node tests-e2e/run.ts [--test-... options of node] [files]
 */
import { argv, exit, stderr } from 'node:process';
import { buildCrictl } from './setup/crictl.ts';
import { isolatedRun } from './setup/isolated-run.ts';
import { nriPlugins } from './setup/nri-plugins.ts';

const args = argv.slice(2);
const files = args.filter((arg) => !arg.startsWith('--'));
const exitCode = await isolatedRun({
  name: 'e2e',
  short: 'e2e',
  needsRoot: 'the tests mount, make namespaces and run containers',
  prepare: () => {
    const crictl = buildCrictl();
    if (crictl === undefined) {
      stderr.write('e2e: no Go toolchain on this host: the tests of crictl are skipped\n');
    }
    return {
      args: [
        '--test',
        '--test-concurrency=1',
        '--test-timeout=300000',
        ...args.filter((arg) => arg.startsWith('--')),
        ...(files.length > 0 ? files : ['tests-e2e/*.test.ts']),
      ],
      env: {
        ...(crictl === undefined ? {} : { GANTRY_E2E_CRICTL: crictl }),
        // Built here: the tests have no network.
        ...(files.length === 0 || files.some((f) => f.includes('nri')) ? nriPlugins() : {}),
      },
    };
  },
});
exit(exitCode);
