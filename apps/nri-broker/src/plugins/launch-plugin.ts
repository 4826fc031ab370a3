import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { messageOf, RuntimeError } from '@gantry/errors';
import { fullNameOf } from '@gantry/nri';
import type { PluginFile } from './plugin-files.ts';

/** One that hangs in the kernel does not end by SIGKILL: it is not waited for. */
const longestEndMs = 1000;

export interface LaunchedPlugin {
  readonly socket: Duplex;
  /** How it ended by itself, in words, or why it was not started; undefined where it was killed here. */
  readonly ended: Promise<string | undefined>;
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
  const ended = Promise.withResolvers<string | undefined>();
  let isKilled = false;
  const kill = (): void => {
    isKilled ||= child.exitCode === null && child.signalCode === null;
    child.kill('SIGKILL');
    setTimeout(() => {
      ended.resolve(undefined);
    }, longestEndMs).unref();
  };
  child.once('error', (cause) => {
    const isMissing = 'code' in cause && cause.code === 'ENOENT';
    const hint = isMissing ? '; is the interpreter that its first line names there?' : '';
    ended.resolve(`can not be started: ${messageOf(cause)}${hint}`);
    const words = `start plugin "${fullNameOf(name)}"`;
    socket.destroy(new RuntimeError('failed-precondition', words, { cause }));
  });
  child.once('exit', (code, signal) => {
    const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
    ended.resolve(isKilled && signal === 'SIGKILL' ? undefined : `the plugin ${how}`);
    socket.destroy();
  });
  socket.once('close', kill);
  return { socket, ended: ended.promise, kill };
}
