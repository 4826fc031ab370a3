import { chown, stat } from 'node:fs/promises';

/**
 * Gives /dev/null back to root. crun before 1.24 and runc 1.1.3 and 1.1.4 make
 * the user of a container its owner when it is the container's stdin
 * (containers/crun#1845, opencontainers/runc#3674): who owns it may close it to
 * the whole host. To be called after each create.
 */
export async function takeBackNullDevice(): Promise<void> {
  const { uid, gid } = await stat('/dev/null');
  if (uid !== 0 || gid !== 0) {
    await chown('/dev/null', 0, 0);
  }
}
