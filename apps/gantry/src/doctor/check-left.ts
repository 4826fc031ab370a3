import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Config } from '@gantry/config';
import { isRunning, mountInfo } from '@gantry/host';
import { type ChildState, readStackState } from '../supervisor/stack-state.ts';
import { type Finding, ok, warn } from './finding.ts';

/** What there is of a stack that does not run: whether it was stopped or killed, its pods, and mounts without one. */
export async function checkLeft(config: Config): Promise<Finding[]> {
  const state = await readStackState(config);
  const pods = await podsOf(config);
  return [
    // Who is stopped takes this file away.
    state === undefined
      ? warn('stack', 'not running', 'start it: ./gantry up')
      : warn(
          'stack',
          `not running: its supervisor was killed${await orphansOf(state.children)}`,
          'start it: ./gantry up, which takes over what is left',
        ),
    ...(pods === 0
      ? await strayMounts(config)
      : [ok('pods', `${pods} without services: they run on, and the next ./gantry up has them`)]),
  ];
}

async function orphansOf(children: readonly ChildState[]): Promise<string> {
  const names = await Promise.all(
    children.map(async ({ name, process }) =>
      process !== undefined && (await isRunning(process)) ? [name] : [],
    ),
  );
  return names.flat().length === 0 ? '' : `; ${names.flat().join(', ')} of it still run`;
}

async function podsOf(config: Config): Promise<number> {
  const names = await readdir(join(config.state_dir, 'sandboxes')).catch(() => []);
  return names.length;
}

/** Of sandbox-service and image-service, which unmount what no pod needs: only where they were killed does any stay. */
async function strayMounts(config: Config): Promise<Finding[]> {
  const below = `${resolve(config.state_dir)}/`;
  const left = (await mountInfo())
    .map(({ mountPoint }) => mountPoint)
    .filter((path) => path.startsWith(below));
  if (left.length === 0) {
    return [];
  }
  const exits = join(below, 'exits');
  const others = left.filter((path) => path !== exits).length;
  const found = [
    ...(left.includes(exits) ? [`${exits} is a tmpfs for the exit codes of pods`] : []),
    ...(others === 0 ? [] : [`${others} more below ${below}`]),
  ];
  return [
    warn(
      'mounts',
      `of pods that are gone: ${found.join(', ')}`,
      `the next ./gantry up takes them over, and ./gantry down unmounts them; by hand: umount ${left.toReversed().slice(0, 3).join(' ')}${left.length > 3 ? ' ...' : ''}`,
    ),
  ];
}
