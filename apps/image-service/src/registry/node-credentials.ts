import { readFile } from 'node:fs/promises';
import type { Config } from '@gantry/config';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import { getDotPath, object, optional, record, safeParse, string } from 'valibot';
import type { Credentials } from '../ports.ts';
import { isSameRegistry, parseCredentials, registryHost } from './parse-credentials.ts';

const text = optional(string(), '');
const dockerConfig = object({
  auths: optional(
    record(
      string(),
      object({
        auth: text,
        username: text,
        password: text,
        identitytoken: text,
        registrytoken: text,
      }),
    ),
    {},
  ),
});

export type CredentialSettings = Pick<Config['images'], 'credentials' | 'docker_config'>;

/**
 * What the node itself knows for a registry, for pulls that bring no
 * credentials: the config's table first, then docker's config.json, read anew
 * at each call. undefined where neither speaks of `host`. Throws
 * `failed-precondition` naming the file, and never what is in it.
 */
export async function nodeCredentials(
  settings: CredentialSettings,
  host: string,
): Promise<Credentials | undefined> {
  const own = Object.entries(settings.credentials).find(([name]) => isSameRegistry(name, host));
  if (own !== undefined) {
    const { username, password, identity_token, registry_token } = own[1];
    return { username, password, identityToken: identity_token, registryToken: registry_token };
  }
  const file = settings.docker_config;
  return file === '' ? undefined : fromDockerConfig(file, host);
}

async function fromDockerConfig(file: string, host: string): Promise<Credentials | undefined> {
  const bytes = await readOrNothing(file);
  if (bytes === undefined) {
    return undefined;
  }
  const { auths } = parseDockerConfig(bytes, file);
  const entry = Object.entries(auths).find(([name]) => isSameRegistry(registryHost(name), host));
  if (entry === undefined) {
    return undefined;
  }
  const { auth, username, password, identitytoken, registrytoken } = entry[1];
  try {
    return parseCredentials(
      {
        auth,
        username,
        password,
        identityToken: identitytoken,
        registryToken: registrytoken,
        serverAddress: '',
      },
      host,
    );
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `${file}: auths of ${host}`, { cause });
  }
}

function parseDockerConfig(bytes: string, file: string) {
  let value: unknown;
  try {
    value = JSON.parse(bytes);
  } catch {
    // The parser's message would quote the file, and with it perhaps a password.
    throw new RuntimeError('failed-precondition', `parse ${file}: not JSON`);
  }
  const result = safeParse(dockerConfig, value);
  if (!result.success) {
    const where = result.issues.map((issue) => getDotPath(issue) ?? '').join(', ');
    throw new RuntimeError(
      'failed-precondition',
      `parse ${file}: not as docker writes it: ${where}`,
    );
  }
  return result.output;
}

async function readOrNothing(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) {
      return undefined;
    }
    throw new RuntimeError('failed-precondition', `read ${file}`, { cause });
  }
}
