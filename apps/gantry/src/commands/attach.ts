import { dialRemoteCommand } from '@gantry/remotecommand';
import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { argument, flag, type Invocation } from '../invocation.ts';
import { runSession } from '../streams/run-session.ts';
import { transportOf } from '../streams/transport.ts';

/** `gantry attach [-i] [-t] CONTAINER`: what its first process says from now on, and our input to it. */
export async function attach(invocation: Invocation): Promise<number> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const containerId = await findContainer(cri, argument(invocation, 0), signal);
  const tty = flag(invocation, 'tty');
  const streams = { stdin: flag(invocation, 'interactive'), stdout: true, stderr: !tty, tty };
  const { url } = await cri.runtime.attach({ containerId, ...streams }, { signal });
  await using client = await dialRemoteCommand(url, { ...streams, ...transportOf(invocation) });
  return await runSession(client, { tty, canDetach: tty, signal });
}
