import { messageOf, RuntimeError } from '@gantry/errors';
import type { Invocation } from './invocation.ts';

/**
 * Does something to each of several objects, also after one has failed, and prints each one that
 * succeeded. Gives the exit code: 1 when any failed. No object at all is an error.
 */
export async function forEachNamed(
  invocation: Invocation,
  names: readonly string[],
  work: (name: string) => Promise<string>,
): Promise<number> {
  if (names.length === 0) {
    throw new RuntimeError('invalid-argument', 'nothing is named. Give one id or more');
  }
  let exitCode = 0;
  for (const name of names) {
    try {
      invocation.out(`${await work(name)}\n`);
    } catch (error) {
      invocation.signal.throwIfAborted();
      invocation.note(`gantry: ${messageOf(error)}`);
      exitCode = 1;
    }
  }
  return exitCode;
}
