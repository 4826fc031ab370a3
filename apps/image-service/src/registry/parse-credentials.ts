import { RuntimeError } from '@gantry/errors';
import type { AuthConfig } from '@gantry/proto';
import type { Credentials } from '../ports.ts';

type Auth = Pick<
  AuthConfig,
  'username' | 'password' | 'auth' | 'serverAddress' | 'identityToken' | 'registryToken'
>;

/** Docker Hub goes by all of these. */
const dockerHub = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * Reads the CRI's AuthConfig in all its forms. undefined when it holds nothing,
 * or is meant for another host than `host` (then it must not be sent there).
 */
export function parseCredentials(auth: Auth, host: string): Credentials | undefined {
  if (auth.serverAddress !== '' && !isSameRegistry(registryHost(auth.serverAddress), host)) {
    return undefined;
  }
  const { identityToken, registryToken } = auth;
  const [username, password] =
    auth.username === '' && auth.auth !== ''
      ? parsePair(auth.auth)
      : [auth.username, auth.password];
  const isEmpty = username === '' && identityToken === '' && registryToken === '';
  return isEmpty ? undefined : { username, password, identityToken, registryToken };
}

/** The host of a server address as docker writes it: with or without scheme and path. */
export function registryHost(address: string): string {
  const url = URL.parse(/^[a-z]+:\/\//i.test(address) ? address : `https://${address}`);
  if (url === null) {
    throw new RuntimeError('invalid-argument', 'auth: the server address is no URL');
  }
  return url.host;
}

/** Reports whether two host names mean one registry. */
export function isSameRegistry(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase() || (dockerHub.has(a) && dockerHub.has(b));
}

/** `user:password` in base64, as docker's config.json has it; some writers add NUL bytes at the end. */
function parsePair(auth: string): [username: string, password: string] {
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) {
    throw new RuntimeError('invalid-argument', 'auth: not user:password in base64');
  }
  return [text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, '')];
}
