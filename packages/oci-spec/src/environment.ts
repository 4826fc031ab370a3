import { RuntimeError } from '@gantry/errors';

/** What an environment is made of, weakest first. */
export interface EnvironmentRequest {
  readonly tty: boolean;
  /** Told as HOSTNAME; '' for none. */
  readonly hostname: string;
  /** `NAME=value` of the image. */
  readonly image: readonly string[];
  /** Of the CRI request. Values are bytes; config.json can only hold UTF-8, so others are replaced. */
  readonly container: readonly { readonly key: string; readonly value: Uint8Array }[];
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The environment as `NAME=value`, one entry a name; a later source overrides
 * an earlier one. Entries of the image that have no value or no name are left
 * out; in the request they are `invalid-argument`.
 */
export function environmentOf(request: EnvironmentRequest): string[] {
  const variables = new Map([['PATH', defaultPath]]);
  if (request.tty) {
    variables.set('TERM', 'xterm');
  }
  if (request.hostname !== '') {
    variables.set('HOSTNAME', request.hostname);
  }
  for (const entry of request.image) {
    const equals = entry.indexOf('=');
    if (equals > 0 && !entry.includes('\0')) {
      variables.set(entry.slice(0, equals), entry.slice(equals + 1));
    }
  }
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for (const { key, value } of request.container) {
    if (key === '' || /[=\0]/.test(key) || value.includes(0)) {
      throw new RuntimeError(
        'invalid-argument',
        `envs: ${JSON.stringify(key)} can't be an environment variable`,
      );
    }
    variables.set(key, decoder.decode(value));
  }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}
