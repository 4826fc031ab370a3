import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import { type Endpoint, parseHostsToml, plainEndpoint } from './hosts-toml.ts';

/**
 * Which servers to ask for images of `host`, in order. The directory is looked
 * at anew at each call, so that a change needs no restart.
 */
export async function findEndpoints(directory: string, host: string): Promise<Endpoint[]> {
  const upstream = defaultUrl(host);
  for (const name of directoryNames(host)) {
    const file = join(directory, name, 'hosts.toml');
    const text = directory === '' ? undefined : await readOrNothing(file);
    if (text !== undefined) {
      return parseHostsToml(text, file, upstream);
    }
  }
  return [plainEndpoint(upstream)];
}

/** In containerd's order: `host_5000_` (for file systems without colons), `host:5000`, `_default`. */
function directoryNames(host: string): string[] {
  const port = /:(\d+)$/.exec(host)?.[1];
  const encoded = port === undefined ? [] : [`${host.slice(0, -port.length - 1)}_${port}_`];
  return [...encoded, host, '_default'];
}

function defaultUrl(host: string): URL {
  const server = host === 'docker.io' ? 'registry-1.docker.io' : host;
  return new URL(`${isLoopback(server) ? 'http' : 'https'}://${server}`);
}

/** Only a registry on this very host is spoken to in plain HTTP without being told so. */
function isLoopback(host: string): boolean {
  const { hostname, port } = new URL(`https://${host}`);
  // An omitted port of https means 443.
  if (port === '' && /:443$/.test(host)) {
    return false;
  }
  const bare = hostname.replace(/^\[|\]$/g, '');
  return bare === 'localhost' || /^127(\.\d+){3}$/.test(bare) || (isIPv6(bare) && bare === '::1');
}

async function readOrNothing(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) {
      return undefined;
    }
    throw new RuntimeError('failed-precondition', `read ${file}`, { cause });
  }
}
