import type { RemoteCommandSession, TerminalSize } from '@gantry/remotecommand';

/** Calls back with each size that the client tells, until it is gone. */
export function onEachSize(
  session: RemoteCommandSession,
  resize: (size: TerminalSize) => void,
): void {
  const read = async (): Promise<void> => {
    for await (const size of session.resizes) {
      resize(size);
    }
  };
  // Its end is no matter, whatever it is: the session tells of that by `gone`.
  read().catch(() => undefined);
}
