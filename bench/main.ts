/*
 * Gantry beside containerd on this host: the same runc, the same network
 * plugins, the same images, the same client, in turns within one run.
 *
 *   npm run bench [-- pods|pull|stream|lists] [--rounds N]
 */
import { argv, exit, stderr } from 'node:process';
import { parseArgs } from 'node:util';
import { benchTools } from '@gantry/host/testing';
import { isolatedRun } from '@gantry/tests-e2e';
import { compareLists } from './lists.ts';
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
  lists: compareLists,
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
  return isolatedRun({
    name: 'bench',
    short: 'bench',
    needsRoot: 'pods need mounts and namespaces',
    tools: benchTools,
    prepare: () => ({
      args: [import.meta.filename, name, '--inside', '--rounds', values.rounds],
    }),
  });
}

exit(await main());
