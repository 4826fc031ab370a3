import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import {
  type Certificates,
  type Endpoint,
  parseHostsToml,
  plainEndpoint,
  type Upstream,
} from './hosts-toml.ts';

/**
 * Which servers to ask for images of `host`, in order. The directory is looked
 * at anew at each call, so that a change needs no restart.
 */
export async function findEndpoints(directory: string, host: string): Promise<Endpoint[]> {
  const upstream = upstreamOf(host);
  for (const name of directoryNames(host)) {
    const file = join(directory, name, 'hosts.toml');
    const text = directory === '' ? undefined : await readOrNothing(file);
    if (text !== undefined) {
      return parseHostsToml(text, file, upstream);
    }
    const certificates = directory === '' ? undefined : await certificatesIn(join(directory, name));
    if (certificates !== undefined) {
      return [plainEndpoint(upstream, file, certificates)];
    }
  }
  const file = join(directory || '<images.registry_config_path>', host, 'hosts.toml');
  return [plainEndpoint(upstream, file)];
}

/** In containerd's order: `host_5000_` (for file systems without colons), `host:5000`, `_default`. */
function directoryNames(host: string): string[] {
  const port = /:(\d+)$/.exec(host)?.[1];
  const encoded = port === undefined ? [] : [`${host.slice(0, -port.length - 1)}_${port}_`];
  return [...encoded, host, '_default'];
}

/**
 * A registry is asked by HTTPS; only one on this very host is spoken to in plain HTTP without being
 * told so: where its port is that of HTTP, or where it speaks no TLS.
 */
function upstreamOf(host: string): Upstream {
  const url = new URL(`https://${host === 'docker.io' ? 'registry-1.docker.io' : host}`);
  const isLocal = isLoopback(url.hostname);
  if (!isLocal || /:443$/.test(host)) {
    return { url, isLocal };
  }
  const plainUrl = new URL(`http://${host}`);
  return /:80$/.test(host) ? { url: plainUrl, isLocal } : { url, plainUrl, isLocal };
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}

/**
 * As docker keeps them, and containerd reads them where there is no hosts.toml: `*.crt` are authorities,
 * `x.cert` with `x.key` a certificate of ours. undefined where there are none.
 */
async function certificatesIn(directory: string): Promise<Certificates | undefined> {
  const names = (await unlessMissing(directory, readdir(directory))) ?? [];
  const ending = (suffix: string): string[] =>
    names.filter((name) => name.endsWith(suffix)).map((name) => join(directory, name));
  const [ca, own] = [ending('.crt').sort(), ending('.cert').sort()];
  const client = own.map((cert) => [cert, cert.replace(/cert$/, 'key')]);
  return ca.length + client.length === 0 ? undefined : { ca, client };
}

function readOrNothing(file: string): Promise<string | undefined> {
  return unlessMissing(file, readFile(file, 'utf8'));
}

async function unlessMissing<T>(path: string, read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (cause) {
    if (hasCode(cause, 'ENOENT', 'ENOTDIR')) {
      return undefined;
    }
    throw new RuntimeError('failed-precondition', `read ${path}`, { cause });
  }
}
