import { quote, RuntimeError } from '@gantry/errors';

/** Kubernetes allows 253 for the longest of them; names go into environments of plugins, where too long ones fail late. */
const maxNameBytes = 1024;

/**
 * Throws `invalid-argument` for a name that nothing can be called by: empty, too
 * long, or with a slash or control character in it.
 */
export function checkName(field: string, name: string): void {
  const refuse = (why: string): never => {
    throw new RuntimeError('invalid-argument', `${field}: ${why}`);
  };
  if (name === '') {
    refuse('must not be empty');
  }
  if (Buffer.byteLength(name) > maxNameBytes) {
    refuse(`${quote(name)} is longer than ${maxNameBytes} bytes`);
  }
  if (/[/\p{Cc}]/u.test(name)) {
    refuse(`${quote(name)} has a slash or control character in it`);
  }
}

/** Throws `invalid-argument` unless `path` is absolute and stays where it says. */
export function checkPath(field: string, path: string): void {
  if (!path.startsWith('/') || path.includes('\0') || path.split('/').includes('..')) {
    throw new RuntimeError(
      'invalid-argument',
      `${field}: ${quote(path)} is not a clean absolute path`,
    );
  }
}
