/*
 * A pod's life on a host that this one is not: a Debian in a virtual machine
 * under software emulation, with cgroup v2, systemd, its own kernel, and Gantry
 * as the systemd unit of deploy/. Functions only: it is ten times slower.
 *
 *   node tests-e2e/vm/run.ts
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { arch, env, exit, getuid, stderr, stdout } from 'node:process';
import { findTool } from '@gantry/host';
import { buildTestImages } from '../setup/images.ts';
import { boot } from './boot.ts';
import { buildDisk } from './build-disk.ts';

const repository = dirname(dirname(import.meta.dirname));
const limitMs = 20 * 60_000;
/** What the machine prints before the counts of its tests. */
const mark = 'GANTRY-VM-COUNTS ';

async function main(): Promise<number> {
  if (getuid?.() !== 0) {
    stderr.write('vm: not root: debootstrap makes device nodes\n');
    return 1;
  }
  if (arch !== 'x64') {
    stderr.write(
      `vm: the machine is an x86-64 one, and its programs come from this host: ${arch}\n`,
    );
    return 1;
  }
  const tools = { 'qemu-system-x86_64': 'qemu-system-x86', debootstrap: 'debootstrap' };
  const missing = Object.entries(tools).filter(([tool]) => findTool(tool) === undefined);
  if (missing.length > 0) {
    const names = missing.map(([, name]) => name).join(' ');
    stderr.write(`vm: missing tools: apt-get install --no-install-recommends ${names}\n`);
    return 1;
  }
  const dir = await mkdtemp('/var/tmp/gantry-vm-');
  try {
    const images = join(dir, 'images');
    await buildTestImages(images);
    stdout.write('vm: making the disk\n');
    const disk = await buildDisk(dir, repository, images);
    stdout.write('vm: booting\n');
    return await runTests(disk);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function runTests(disk: Parameters<typeof boot>[0]): Promise<number> {
  let counts: { readonly failed: number; readonly passed: number } | undefined;
  const print = (line: string) => {
    const text = line.replaceAll(/[^\x20-\x7e✔✖ℹ▶]/g, '');
    if (text.startsWith(mark)) {
      counts = JSON.parse(text.slice(mark.length)) as typeof counts;
    } else {
      stdout.write(`${text}\n`);
    }
  };
  await boot(disk, print, limitMs);
  if (counts === undefined) {
    stderr.write('vm: the machine ended before its tests did\n');
    return 1;
  }
  const directory = env['GANTRY_TEST_COUNTS'];
  if (directory !== undefined) {
    await writeFile(join(directory, `${randomUUID()}.json`), JSON.stringify(counts));
  }
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

exit(await main());
