/*
 * Runs critest, the CRI's own conformance tests, against the real stack: every OCI runtime and infra
 * there is, in namespaces of their own. Compares each spec with what is expected of it.
 *
 *   node tests-e2e/critest/run.ts [runc/pause ...] [--focus=REGEXP ...] [--procs=N] [--keep]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, env, exit, getuid, stderr } from 'node:process';
import { removeTestCgroups } from '../setup/cgroups.ts';
import { buildCritest } from '../setup/critest.ts';
import { buildCritestImages } from '../setup/critest-images.ts';
import { buildTestImages } from '../setup/images.ts';
import { runIsolated } from '../setup/isolate.ts';
import { missingTools } from '../setup/tools.ts';
import { leaveCounts } from './counts.ts';

async function main(): Promise<number> {
  if (getuid?.() !== 0) {
    stderr.write('critest: not root: the tests mount, make namespaces and run containers\n');
    return 1;
  }
  const missing = missingTools();
  if (missing.length > 0) {
    stderr.write(`critest: missing tools: apt-get install ${missing.join(' ')}\n`);
    return 1;
  }
  const programs = buildCritest();
  if (programs === undefined) {
    stderr.write('critest: no Go toolchain on this host: critest is left out\n');
    leaveCounts([{ passed: 0, failed: 0, skipped: 1 }]);
    return 0;
  }
  const args = argv.slice(2);
  const keep = args.includes('--keep');
  const dir = await mkdtemp('/tmp/gantry-critest-');
  try {
    await buildTestImages(join(dir, 'images'));
    const layout = join(dir, 'critest-images');
    const images = await buildCritestImages(layout, programs.effectiveUid);
    return await runIsolated(
      [join(import.meta.dirname, 'inside.ts'), ...args.filter((arg) => arg !== '--keep')],
      {
        cwd: dirname(dirname(import.meta.dirname)),
        env: {
          ...env,
          GANTRY_E2E_DIR: dir,
          GANTRY_E2E_CRITEST: JSON.stringify({ ...programs, layout, images }),
        },
      },
    );
  } finally {
    await removeTestCgroups(dir);
    if (keep) {
      stderr.write(`critest: kept ${dir}\n`);
    } else {
      await rm(dir, { recursive: true, force: true });
    }
  }
}

exit(await main());
