/*
 * Runs critest, the CRI's own conformance tests, against the real stack: every OCI runtime and infra
 * there is, in namespaces of their own. Compares each spec with what is expected of it.
 *
 *   node tests-e2e/critest/run.ts [runc/pause ...] [--focus=REGEXP ...] [--procs=N] [--keep]
 */
import { join } from 'node:path';
import { argv, exit, stderr } from 'node:process';
import { buildCritest } from '../setup/critest.ts';
import { buildCritestImages } from '../setup/critest-images.ts';
import { isolatedRun } from '../setup/isolated-run.ts';
import { leaveCounts } from './counts.ts';

const args = argv.slice(2);
const exitCode = await isolatedRun({
  name: 'critest',
  short: 'critest',
  needsRoot: 'the tests mount, make namespaces and run containers',
  keep: args.includes('--keep'),
  prepare: async (dir) => {
    const programs = buildCritest();
    if (programs === undefined) {
      stderr.write('critest: no Go toolchain on this host: critest is left out\n');
      leaveCounts([{ passed: 0, failed: 0, skipped: 1 }]);
      return 0;
    }
    const layout = join(dir, 'critest-images');
    const images = await buildCritestImages(layout, programs.effectiveUid);
    return {
      args: [join(import.meta.dirname, 'inside.ts'), ...args.filter((arg) => arg !== '--keep')],
      env: { GANTRY_E2E_CRITEST: JSON.stringify({ ...programs, layout, images }) },
    };
  },
});
exit(exitCode);
