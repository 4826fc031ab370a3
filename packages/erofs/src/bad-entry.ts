import { RuntimeError } from '@gantry/errors';

/** Something is wrong with an entry of a stranger's archive. */
export function badEntry(why: string): RuntimeError {
  return new RuntimeError('invalid-argument', why);
}
