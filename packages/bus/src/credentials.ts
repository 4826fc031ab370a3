import { readFile } from 'node:fs/promises';
import { RuntimeError } from '@gantry/errors';

/** What a service shows to NATS. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Reads a credentials file. Rejects with `unauthenticated`, naming the file, when it can't be used. */
export async function readCredentials(file: string): Promise<Credentials> {
  try {
    return parseCredentials(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new RuntimeError('unauthenticated', `read NATS credentials ${file}`, { cause });
  }
}

/** Parses the text of a credentials file. Throws when it is not `{user, password}`. */
export function parseCredentials(text: string): Credentials {
  const value: unknown = JSON.parse(text);
  if (
    typeof value !== 'object' ||
    value === null ||
    !('user' in value && typeof value.user === 'string') ||
    !('password' in value && typeof value.password === 'string')
  ) {
    throw new Error('not an object with user and password');
  }
  return { user: value.user, password: value.password };
}
