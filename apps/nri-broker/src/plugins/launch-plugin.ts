import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { RuntimeError } from '@gantry/errors';
import { fullNameOf } from '@gantry/nri';
import type { PluginFile } from './plugin-files.ts';

export interface LaunchedPlugin {
  readonly socket: Duplex;
  /** Ends it by SIGKILL; it has no other word for that. */
  readonly kill: () => void;
}

/**
 * Starts a plugin with its end of a socket pair as file 3. As the reference does
 * it, it gets three variables and nothing else. It is not started again when it
 * ends.
 */
export function launchPlugin({ path, name }: PluginFile): LaunchedPlugin {
  const child = spawn(path, [], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    env: {
      NRI_PLUGIN_NAME: name.name,
      NRI_PLUGIN_IDX: name.index,
      NRI_PLUGIN_SOCKET: '3',
    },
    cwd: '/',
  });
  const socket = child.stdio[3];
  if (!(socket instanceof Duplex)) {
    throw new RuntimeError('internal', `plugin "${fullNameOf(name)}": no socket`);
  }
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  child.once('error', (cause) => {
    const words = `start plugin "${fullNameOf(name)}"`;
    socket.destroy(new RuntimeError('failed-precondition', words, { cause }));
  });
  child.once('exit', () => {
    socket.destroy();
  });
  socket.once('close', kill);
  return { socket, kill };
}
