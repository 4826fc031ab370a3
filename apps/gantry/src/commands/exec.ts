import { RuntimeError } from '@gantry/errors';
import { dialRemoteCommand } from '@gantry/remotecommand';
import { type CriConnection, connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { argument, flag, type Invocation, numberOption } from '../invocation.ts';
import { runSession } from '../streams/run-session.ts';
import { transportOf } from '../streams/transport.ts';

/**
 * `gantry exec [-i] [-t] CONTAINER COMMAND...`: its output as it comes; its exit
 * code is ours. With --sync or --timeout all of it when it has ended.
 */
export async function exec(invocation: Invocation): Promise<number> {
  const cmd = invocation.args.slice(1);
  if (cmd.length === 0) {
    throw new RuntimeError(
      'invalid-argument',
      'exec: no command. Use: gantry exec CONTAINER COMMAND',
    );
  }
  using cri = connect(invocation);
  const containerId = await findContainer(cri, argument(invocation, 0), invocation.signal);
  const timeout = numberOption(invocation, 'timeout');
  if (timeout !== undefined || flag(invocation, 'sync')) {
    return await execSync(cri, { containerId, cmd, timeout: BigInt(timeout ?? 0) }, invocation);
  }
  const { signal } = invocation;
  const tty = flag(invocation, 'tty');
  const streams = { stdin: flag(invocation, 'interactive'), stdout: true, stderr: !tty, tty };
  const { url } = await cri.runtime.exec({ containerId, cmd, ...streams }, { signal });
  await using client = await dialRemoteCommand(url, { ...streams, ...transportOf(invocation) });
  return await runSession(client, { tty, canDetach: false, signal });
}

async function execSync(
  cri: CriConnection,
  request: { readonly containerId: string; readonly cmd: string[]; readonly timeout: bigint },
  { options, signal }: Invocation,
): Promise<number> {
  if (options['interactive'] === true || options['tty'] === true) {
    throw new RuntimeError(
      'invalid-argument',
      'exec: --sync and --timeout go without --interactive and --tty',
    );
  }
  const result = await cri.runtime.execSync(request, { signal });
  process.stdout.write(result.stdout);
  process.stderr.write(result.stderr);
  return result.exitCode;
}
