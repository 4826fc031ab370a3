/*
 * Runs Kubernetes' own node conformance tests: a kubelet and an API server on the real stack, in
 * namespaces of their own. Compares each spec with what is expected of it.
 *
 *   node tests-e2e/node-conformance/run.ts [--focus=REGEXP ...] [--procs=N] [--keep]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, env, exit, getuid, stderr } from 'node:process';
import { removeTestCgroups } from '../setup/cgroups.ts';
import { buildCritest } from '../setup/critest.ts';
import { buildTestImages } from '../setup/images.ts';
import { runIsolated } from '../setup/isolate.ts';
import { buildNodeConformance } from '../setup/node-conformance.ts';
import { buildNodeImages } from '../setup/node-images.ts';
import { missingTools } from '../setup/tools.ts';

async function main(): Promise<number> {
  if (getuid?.() !== 0) {
    stderr.write('node conformance: not root: a kubelet mounts, and runs containers\n');
    return 1;
  }
  const missing = missingTools();
  if (missing.length > 0) {
    stderr.write(`node conformance: missing tools: apt-get install ${missing.join(' ')}\n`);
    return 1;
  }
  const programs = buildNodeConformance();
  const effectiveUid = buildCritest()?.effectiveUid;
  if (programs === undefined || effectiveUid === undefined) {
    stderr.write('node conformance: no Go toolchain on this host to build the tests with\n');
    return 1;
  }
  const args = argv.slice(2);
  const keep = args.includes('--keep');
  const dir = await mkdtemp('/tmp/gantry-node-');
  try {
    await buildTestImages(join(dir, 'images'));
    const layout = join(dir, 'node-images');
    const images = await buildNodeImages(layout, programs, effectiveUid);
    return await runIsolated(
      [join(import.meta.dirname, 'inside.ts'), ...args.filter((arg) => arg !== '--keep')],
      {
        cwd: dirname(dirname(import.meta.dirname)),
        env: {
          ...env,
          GANTRY_E2E_DIR: dir,
          GANTRY_E2E_NODE: JSON.stringify({ ...programs, layout, images }),
        },
      },
    );
  } finally {
    await removeTestCgroups(dir);
    if (keep) {
      stderr.write(`node conformance: kept ${dir}\n`);
    } else {
      await rm(dir, { recursive: true, force: true });
    }
  }
}

exit(await main());
