/*
 * Gantry beside containerd on this host: the same runc, the same network
 * plugins, the same images, the same client, in turns within one run.
 *
 *   npm run bench [-- pods|pull|stream] [--rounds N]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, env, exit, getuid, stderr } from 'node:process';
import { parseArgs } from 'node:util';
import { buildTestImages, missingTools, removeTestCgroups, runIsolated } from '@gantry/tests-e2e';
import { comparePods } from './pods.ts';
import { comparePulls } from './pulls.ts';
import { compareStreams } from './streams.ts';

const { values, positionals } = parseArgs({
  args: argv.slice(2),
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '20' }, inside: { type: 'boolean' } },
});
const benches: Readonly<Record<string, (rounds: number) => Promise<void>>> = {
  pods: comparePods,
  pull: comparePulls,
  stream: compareStreams,
};

async function main(): Promise<number> {
  const [name = 'pods'] = positionals;
  const bench = benches[name];
  if (bench === undefined) {
    stderr.write(`bench: ${name}: there are ${Object.keys(benches).join(', ')}\n`);
    return 1;
  }
  if (values.inside === true) {
    await bench(Number(values.rounds));
    return 0;
  }
  if (getuid?.() !== 0) {
    stderr.write('bench: not root: pods need mounts and namespaces\n');
    return 1;
  }
  const missing = missingTools('bench');
  if (missing.length > 0) {
    stderr.write(`bench: missing tools: apt-get install ${missing.join(' ')}\n`);
    return 1;
  }
  const dir = await mkdtemp('/tmp/gantry-bench-');
  try {
    await buildTestImages(join(dir, 'images'));
    return await runIsolated([import.meta.filename, name, '--inside', '--rounds', values.rounds], {
      cwd: dirname(import.meta.dirname),
      env: { ...env, GANTRY_E2E_DIR: dir },
    });
  } finally {
    await removeTestCgroups(dir);
    await rm(dir, { recursive: true, force: true });
  }
}

exit(await main());
