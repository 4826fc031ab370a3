import { finished } from 'node:stream/promises';
import { RuntimeError } from '@gantry/errors';
import type { RemoteCommandClient } from '@gantry/remotecommand';
import { DetachKeys } from './detach-keys.ts';
import { openOwnTerminal } from './own-terminal.ts';

export interface SessionOptions {
  readonly tty: boolean;
  /** Ctrl-P Ctrl-Q ends the session and not what runs. */
  readonly canDetach: boolean;
  readonly signal: AbortSignal;
}

/**
 * Joins our terminal, or whatever our streams are, with those of a command until
 * that ends. Gives its exit code. With a terminal at both ends and input ours is
 * raw meanwhile: every key, Ctrl-C too, is the command's. Without input Ctrl-C is ours and ends the session.
 */
export async function runSession(
  client: RemoteCommandClient,
  options: SessionOptions,
): Promise<number> {
  using undo = new DisposableStack();
  const { stdin, stdout } = process;
  if (options.tty) {
    undo.use(openOwnTerminal({ input: client.stdin !== undefined }));
  }
  if (options.tty && stdout.isTTY) {
    const tell = (): void => {
      client.resize({ width: stdout.columns, height: stdout.rows });
    };
    tell();
    stdout.on('resize', tell);
    undo.defer(() => stdout.off('resize', tell));
  }
  const detached = Promise.withResolvers<number>();
  if (client.stdin !== undefined) {
    const keys = options.canDetach ? new DetachKeys(() => detached.resolve(0)) : undefined;
    keys?.pipe(client.stdin);
    client.stdin.on('error', () => undefined);
    stdin.pipe(keys ?? client.stdin);
    undo.defer(() => {
      stdin.unpipe();
      // One that is only paused would keep this process alive.
      stdin.destroy();
    });
  }
  return await Promise.race([exitCodeOf(client, options), detached.promise]);
}

async function exitCodeOf(
  client: RemoteCommandClient,
  { signal }: SessionOptions,
): Promise<number> {
  client.stdout?.pipe(process.stdout, { end: false });
  client.stderr?.pipe(process.stderr, { end: false });
  const ends = [client.stdout, client.stderr].map(
    (stream) => stream && finished(stream, { writable: false }).catch(() => undefined),
  );
  try {
    const [status] = await Promise.all([client.status, ...ends]);
    if ('error' in status) {
      throw new RuntimeError('unknown', status.error);
    }
    return 'exitCode' in status ? status.exitCode : 0;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
