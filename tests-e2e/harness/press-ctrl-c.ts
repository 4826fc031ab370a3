import type { Writable } from 'node:stream';
import { until } from './until.ts';

const looksEachPress = 50;

/**
 * Presses Ctrl-C at a shell that waits for input, and once more each second until it `isHeard`: the one of busybox
 * looks for signals, then waits for input, and one that comes in between is heard at the next only.
 */
export async function pressCtrlC(
  stdin: Writable | undefined,
  isHeard: () => boolean,
): Promise<void> {
  let looks = 0;
  await until(
    'the shell heard Ctrl-C',
    () => {
      const heard = isHeard();
      if (!heard && looks % looksEachPress === 0) {
        stdin?.write('\x03');
      }
      looks += 1;
      return Promise.resolve(heard);
    },
    (heard) => heard,
  );
}
