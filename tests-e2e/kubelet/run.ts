/*
 * A kubelet, with no API server behind it, on the real stack: static pods with probes, hooks, init
 * containers, crashes and limits, in namespaces of their own.
 *
 *   node tests-e2e/kubelet/run.ts [--test-... options of node]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, env, exit, getuid, stderr } from 'node:process';
import { removeTestCgroups } from '../setup/cgroups.ts';
import { buildTestImages } from '../setup/images.ts';
import { runIsolated } from '../setup/isolate.ts';
import { buildKubelet } from '../setup/kubelet.ts';
import { missingTools } from '../setup/tools.ts';

async function main(): Promise<number> {
  if (getuid?.() !== 0) {
    stderr.write('kubelet: not root: a kubelet mounts, and runs containers\n');
    return 1;
  }
  const missing = missingTools();
  if (missing.length > 0) {
    stderr.write(`kubelet: missing tools: apt-get install ${missing.join(' ')}\n`);
    return 1;
  }
  const program = buildKubelet();
  if (program === undefined) {
    stderr.write('kubelet: no Go toolchain on this host to build a kubelet with\n');
    return 1;
  }
  const dir = await mkdtemp('/tmp/gantry-kubelet-');
  try {
    await buildTestImages(join(dir, 'images'));
    return await runIsolated(
      ['--test', '--test-timeout=300000', ...argv.slice(2), 'tests-e2e/kubelet/kubelet.test.ts'],
      {
        cwd: dirname(dirname(import.meta.dirname)),
        env: { ...env, GANTRY_E2E_DIR: dir, GANTRY_E2E_KUBELET: program },
      },
    );
  } finally {
    await removeTestCgroups(dir);
    await rm(dir, { recursive: true, force: true });
  }
}

exit(await main());
