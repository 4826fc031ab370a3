/*
 * What this host is not: a Debian in a virtual machine under software emulation,
 * with cgroup v2, systemd, its own kernel with AppArmor and SELinux, and Gantry as
 * the systemd unit of deploy/. Functions only: it is ten times slower.
 *
 *   node tests-e2e/vm/run.ts [apparmor] [checkpoint] [selinux] [enforcing]
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { arch, argv, env, exit, getuid, stderr, stdout } from 'node:process';
import { findTool } from '@gantry/host';
import { buildCritest } from '../setup/critest.ts';
import { buildTestImages } from '../setup/images.ts';
import { boot, LockedUp } from './boot.ts';
import { buildDisk, type Disk } from './build-disk.ts';

const repository = dirname(dirname(import.meta.dirname));
/** Several times what a boot and its tests take on an idle host. */
const limitMs = 40 * 60_000;
/** What the machine prints before the counts of its tests. */
const mark = 'GANTRY-VM-COUNTS ';

/** One boot of the machine each, for a kernel runs with one of the two. */
const boots = {
  apparmor: { lsm: 'security=apparmor', tests: ['systemd', 'apparmor', 'critest'] },
  checkpoint: { lsm: 'security=apparmor', tests: ['checkpoint'] },
  selinux: { lsm: 'security=selinux selinux=1', tests: ['selinux', 'critest'] },
  enforcing: { lsm: 'security=selinux selinux=1', tests: ['selinux-enforcing'] },
} as const;

type Name = keyof typeof boots;
const isName = (text: string): text is Name => Object.hasOwn(boots, text);

async function main(): Promise<number> {
  const asked = argv.slice(2).filter(isName);
  if (asked.length < argv.length - 2) {
    stderr.write(`vm: boots are ${Object.keys(boots).join(', ')}\n`);
    return 1;
  }
  const problem = whyNot();
  if (problem !== undefined) {
    stderr.write(`vm: ${problem}\n`);
    return 1;
  }
  const dir = await mkdtemp('/var/tmp/gantry-vm-');
  try {
    const images = join(dir, 'images');
    await buildTestImages(images);
    const programs = buildCritest();
    stdout.write('vm: making the disk\n');
    const disk = await buildDisk(dir, repository, {
      'opt/test-images': images,
      ...(programs && {
        'opt/programs/critest': programs.critest,
        'opt/programs/ginkgo': programs.ginkgo,
      }),
    });
    let worst = 0;
    for (const name of asked.length === 0 ? Object.keys(boots).filter(isName) : asked) {
      stdout.write(`vm: booting with ${name}\n`);
      worst = Math.max(worst, await runTests(disk, name));
    }
    return worst;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Why this host can't make the machine; undefined where it can. */
function whyNot(): string | undefined {
  if (getuid?.() !== 0) {
    return 'not root: debootstrap makes device nodes';
  }
  if (arch !== 'x64') {
    return `the machine is an x86-64 one, and its programs come from this host: ${arch}`;
  }
  const tools = { 'qemu-system-x86_64': 'qemu-system-x86', debootstrap: 'debootstrap' };
  const missing = Object.entries(tools).filter(([tool]) => findTool(tool) === undefined);
  return missing.length === 0
    ? undefined
    : `missing tools: apt-get install --no-install-recommends ${missing.map(([, name]) => name).join(' ')}`;
}

async function runTests(disk: Disk, name: Name): Promise<number> {
  let counts: { readonly failed: number; readonly passed: number } | undefined;
  const onLine = (line: string) => {
    const text = line.replaceAll(/[^\x20-\x7e✔✖ℹ▶﹣]/g, '');
    if (text.startsWith(mark)) {
      counts = JSON.parse(text.slice(mark.length)) as typeof counts;
    } else {
      stdout.write(`${text}\n`);
    }
  };
  const { lsm, tests } = boots[name];
  const machine = { disk, kernelArgs: [lsm, `gantry.tests=${tests.join(',')}`], onLine, limitMs };
  try {
    await boot(machine);
  } catch (error) {
    if (!(error instanceof LockedUp)) {
      throw error;
    }
    // Nothing of it is kept. A second time it is no accident.
    stdout.write(`vm: ${error.message}; booting with ${name} once more\n`);
    await boot(machine);
  }
  if (counts === undefined) {
    stderr.write(`vm: the machine with ${name} ended before its tests did\n`);
    return 1;
  }
  const directory = env['GANTRY_TEST_COUNTS'];
  if (directory !== undefined) {
    await writeFile(join(directory, `${randomUUID()}.json`), JSON.stringify(counts));
  }
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

exit(await main());
