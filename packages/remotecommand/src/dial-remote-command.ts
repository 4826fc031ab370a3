import { text } from 'node:stream/consumers';
import { kindOf, RuntimeError } from '@gantry/errors';
import { SpdyConnection, type SpdyStream } from '@gantry/spdy';
import type { DialRemoteCommandOptions, RemoteCommandClient } from './client.ts';
import { statusIn } from './command-status.ts';
import { dialSpdy } from './dial-upgrade.ts';
import { dialWebSocketCommand } from './dial-web-socket-command.ts';
import { commandProtocols, hasResize, pingIntervalMs } from './protocols.ts';
import { ReadSide } from './read-side.ts';
import type { CommandStatus } from './session.ts';

/**
 * Connects to the URL that Exec or Attach answered. Settles when all streams
 * are open. Read stdout and stderr until they end: what nobody reads holds up
 * the status. Dispose of it at the end.
 */
export function dialRemoteCommand(
  url: string,
  options: DialRemoteCommandOptions,
): Promise<RemoteCommandClient> {
  return options.transport === 'spdy'
    ? dialSpdyCommand(url, options)
    : dialWebSocketCommand(url, options);
}

async function dialSpdyCommand(
  url: string,
  options: DialRemoteCommandOptions,
): Promise<RemoteCommandClient> {
  const { signal } = options;
  const { socket, head, protocol } = await dialSpdy(
    url,
    options.protocols ?? commandProtocols,
    options,
  );
  const connection = new SpdyConnection(socket, { role: 'client', head, pingIntervalMs });
  const stop = (): void => connection.destroy();
  signal?.addEventListener('abort', stop, { once: true });
  connection.gone.addEventListener('abort', () => signal?.removeEventListener('abort', stop));
  try {
    return await openStreams(connection, protocol, options);
  } catch (cause) {
    connection.destroy();
    throw new RuntimeError(kindOf(cause), 'open streams to the server', { cause });
  }
}

async function openStreams(
  connection: SpdyConnection,
  protocol: string,
  options: DialRemoteCommandOptions,
): Promise<RemoteCommandClient> {
  const { signal } = options;
  // One at a time, as client-go does: servers rely on it.
  const open = async (type: string, isWanted: boolean): Promise<SpdyStream | undefined> =>
    isWanted ? connection.open(new Map([['streamtype', type]]), signal && { signal }) : undefined;
  const error = await open('error', true);
  const status = readStatus(protocol, error);
  // Whoever does not wait for it has not made a mistake.
  status.catch(() => {});
  const stdin = await open('stdin', options.stdin === true);
  const stdout = await open('stdout', options.stdout);
  const stderr = await open('stderr', options.stderr);
  const resize = await open('resize', options.tty && hasResize(protocol));
  stdin?.ignoreInput();
  resize?.ignoreInput();
  return {
    protocol,
    status,
    ...(stdin && { stdin }),
    ...(stdout && { stdout: new ReadSide(stdout) }),
    ...(stderr && { stderr: new ReadSide(stderr) }),
    resize: ({ width, height }) => {
      resize?.write(`${JSON.stringify({ Width: width, Height: height })}\n`);
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

async function readStatus(protocol: string, error: SpdyStream | undefined): Promise<CommandStatus> {
  try {
    return statusIn(protocol, error === undefined ? '' : await text(error));
  } catch (cause) {
    throw new RuntimeError(kindOf(cause), 'wait for the status of the command', { cause });
  }
}
