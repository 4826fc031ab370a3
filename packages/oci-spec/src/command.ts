import { posix } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import type { ContainerConfig } from '@gantry/proto';
import type { ImageDefaults } from './spec-input.ts';

/**
 * The program and its arguments: `command` stands for the image's Entrypoint,
 * `args` for its Cmd. A given command drops the image's Cmd too (Kubernetes,
 * "Define a Command and Arguments"). Throws `invalid-argument` when nothing is left to run.
 */
export function commandOf(
  config: Pick<ContainerConfig, 'command' | 'args'>,
  image: Pick<ImageDefaults, 'entrypoint' | 'cmd'>,
): string[] {
  const args = joined(config, image);
  if (args.length === 0) {
    throw new RuntimeError('invalid-argument', 'no command specified');
  }
  if (args.some((arg) => arg.includes('\0'))) {
    throw new RuntimeError('invalid-argument', 'command: an argument has a zero byte in it');
  }
  return args;
}

function joined(
  { command, args }: Pick<ContainerConfig, 'command' | 'args'>,
  { entrypoint, cmd }: Pick<ImageDefaults, 'entrypoint' | 'cmd'>,
): string[] {
  if (command.length > 0) {
    return [...command, ...args];
  }
  // [""] is how builders write down that an inherited entrypoint was cleared.
  const program = entrypoint.length === 1 && entrypoint[0] === '' ? [] : entrypoint;
  return [...program, ...(args.length > 0 ? args : cmd)];
}

/** Where the program starts: the container's directory, else the image's, else the root. A relative one is below the root. */
export function workingDirOf(
  config: Pick<ContainerConfig, 'workingDir'>,
  image: Pick<ImageDefaults, 'workingDir'>,
): string {
  const path = config.workingDir || image.workingDir;
  if (path.includes('\0')) {
    throw new RuntimeError('invalid-argument', 'working_dir: has a zero byte in it');
  }
  return posix.join('/', path);
}
