/*
 * A kubelet, with no API server behind it, on the real stack: static pods with probes, hooks, init
 * containers, crashes and limits, in namespaces of their own.
 *
 *   node tests-e2e/kubelet/run.ts [--test-... options of node]
 */
import { argv, exit, stderr } from 'node:process';
import { isolatedRun } from '../setup/isolated-run.ts';
import { buildKubelet } from '../setup/kubelet.ts';

const exitCode = await isolatedRun({
  name: 'kubelet',
  short: 'kubelet',
  needsRoot: 'a kubelet mounts, and runs containers',
  prepare: () => {
    const program = buildKubelet();
    if (program === undefined) {
      stderr.write('kubelet: no Go toolchain on this host to build a kubelet with\n');
      return 1;
    }
    return {
      args: [
        '--test',
        '--test-timeout=300000',
        ...argv.slice(2),
        'tests-e2e/kubelet/kubelet.test.ts',
      ],
      env: { GANTRY_E2E_KUBELET: program },
    };
  },
});
exit(exitCode);
