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

/** PATH_MAX of Linux, without the zero byte that ends it. */
const maxPathBytes = 4095;

/** Throws `invalid-argument` for a path of the host that is too long for any kernel: its own words repeat all of it. */
export function checkPathLength(field: string, path: string): void {
  if (Buffer.byteLength(path) > maxPathBytes) {
    const message = `${field}: ${quote(path)} is longer than ${maxPathBytes} bytes`;
    throw new RuntimeError('invalid-argument', message);
  }
}

/** Throws `invalid-argument` unless `path` is absolute and stays where it says. */
export function checkPath(field: string, path: string): void {
  checkPathLength(field, path);
  if (!path.startsWith('/') || path.includes('\0') || path.split('/').includes('..')) {
    throw new RuntimeError(
      'invalid-argument',
      `${field}: ${quote(path)} is not a clean absolute path`,
    );
  }
}
