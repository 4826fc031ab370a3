/*
 * Runs Kubernetes' own node conformance tests: a kubelet and an API server on the real stack, in
 * namespaces of their own. Compares each spec with what is expected of it.
 *
 *   node tests-e2e/node-conformance/run.ts [--focus=REGEXP ...] [--procs=N] [--keep]
 */
import { join } from 'node:path';
import { argv, exit, stderr } from 'node:process';
import { buildCritest } from '../setup/critest.ts';
import { isolatedRun } from '../setup/isolated-run.ts';
import { buildNodeConformance } from '../setup/node-conformance.ts';
import { buildNodeImages } from '../setup/node-images.ts';

const args = argv.slice(2);
const exitCode = await isolatedRun({
  name: 'node conformance',
  short: 'node',
  needsRoot: 'a kubelet mounts, and runs containers',
  keep: args.includes('--keep'),
  prepare: async (dir) => {
    const programs = buildNodeConformance();
    const effectiveUid = buildCritest()?.effectiveUid;
    if (programs === undefined || effectiveUid === undefined) {
      stderr.write('node conformance: no Go toolchain on this host to build the tests with\n');
      return 1;
    }
    const layout = join(dir, 'node-images');
    const images = await buildNodeImages(layout, programs, effectiveUid);
    return {
      args: [join(import.meta.dirname, 'inside.ts'), ...args.filter((arg) => arg !== '--keep')],
      env: { GANTRY_E2E_NODE: JSON.stringify({ ...programs, layout, images }) },
    };
  },
});
exit(exitCode);
