import { messageOf } from '@gantry/errors';
import type { ForwardedConnection, PortForwardSession } from '@gantry/remotecommand';
import type { Dialer, PodTarget } from '../ports.ts';
import { copy } from './copy.ts';

/** What one client may have open at a time. */
const maxConnections = 1024;

/** Serves the connections of one client until it goes; each fails for itself. */
export async function servePortForward(
  dialer: Dialer,
  pod: PodTarget,
  session: PortForwardSession,
): Promise<void> {
  const open = new Set<Promise<void>>();
  for await (const connection of session.connections) {
    const served = (
      open.size < maxConnections
        ? forward(dialer, pod, connection)
        : refuse(connection, pod, `more than ${String(maxConnections)} connections`)
    )
      .catch(() => undefined)
      .finally(() => open.delete(served));
    open.add(served);
  }
  await Promise.all(open);
}

/** Each direction ends for itself, as TCP has it; an abrupt end of either side is one of both. */
async function forward(
  dialer: Dialer,
  pod: PodTarget,
  connection: ForwardedConnection,
): Promise<void> {
  const { data, port } = connection;
  let socket: Awaited<ReturnType<Dialer['dial']>>;
  try {
    socket = await dialer.dial(pod, port);
  } catch (error) {
    await refuse(connection, pod, messageOf(error));
    return;
  }
  socket.once('error', () => data.destroy());
  data.once('close', () => {
    if (!socket.writableFinished || !socket.readableEnded) {
      socket.destroy();
    }
  });
  if (data.destroyed) {
    socket.destroy();
  }
  await Promise.all([copy(data, socket, { end: true }), copy(socket, data, { end: true })]);
}

async function refuse(
  connection: ForwardedConnection,
  { podSandboxId }: PodTarget,
  reason: string,
): Promise<void> {
  await connection.fail(
    `error forwarding port ${String(connection.port)} to pod ${podSandboxId}, uid : ${reason}`,
  );
}
