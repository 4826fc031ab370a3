import { messageOf } from '@gantry/errors';
import type { RemoteCommandSession } from '@gantry/remotecommand';
import type { Attached, Attacher, AttachTarget } from '../ports.ts';
import { copy } from './copy.ts';
import { onEachSize } from './resizes.ts';

const isStopping = 'stream-server is stopping';

export interface ServeAttachDeps {
  readonly attacher: Attacher;
  /** Aborts when this service stops. */
  readonly stopping: AbortSignal;
}

/**
 * Attaches a client to the first process of a container, from now on and until
 * the container ends or the client goes. The end of the client's input is that
 * of the container's with stdinOnce and without a terminal; else it detaches
 * the client (containerd, attach). The status is success in all these cases.
 */
export async function serveAttach(
  { attacher, stopping }: ServeAttachDeps,
  target: AttachTarget,
  session: RemoteCommandSession,
): Promise<void> {
  let attached: Attached;
  try {
    attached = await attacher.attach(target, session, { signal: session.gone });
  } catch (error) {
    await session.finish({ error: toContainer(error) });
    return;
  }
  const endInput = (): void => {
    attached.stdin.end();
  };
  const leave = (): void => {
    if (session.stdin !== undefined) {
      endInput();
    }
    attached.leave();
  };
  const stopped = Promise.withResolvers<unknown>();
  stopping.addEventListener('abort', stopped.resolve, { once: true });
  session.gone.addEventListener('abort', leave, { once: true });
  if (session.gone.aborted) {
    leave();
  }
  if (target.tty) {
    onEachSize(session, ({ width, height }) => {
      attacher.resize(target, height, width);
    });
  }
  if (session.stdin !== undefined) {
    void copy(session.stdin, attached.stdin, { end: true });
  }
  try {
    await Promise.race([attached.ended, stopped.promise]);
    // Not the end of a connection alone, which some clients take for success.
    await session.finish(stopping.aborted ? { error: toContainer(isStopping) } : { success: true });
  } catch (error) {
    await session.finish({ error: toContainer(error) });
  } finally {
    stopping.removeEventListener('abort', stopped.resolve);
    session.gone.removeEventListener('abort', leave);
    leave();
  }
}

function toContainer(error: unknown): string {
  return `error attaching to container: ${messageOf(error)}`;
}
