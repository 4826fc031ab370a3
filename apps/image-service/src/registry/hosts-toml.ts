import { isAbsolute, join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { parse } from 'smol-toml';
import {
  array,
  boolean,
  getDotPath,
  type InferOutput,
  object,
  optional,
  picklist,
  record,
  safeParse,
  string,
  union,
} from 'valibot';

/*
 * hosts.toml in containerd's format (containerd docs/hosts.md). Unknown keys
 * are passed over, as containerd does: one file may serve both.
 */

const oneOrMore = union([string(), array(string())]);
const hostFields = {
  capabilities: optional(array(picklist(['pull', 'resolve', 'push']))),
  ca: optional(oneOrMore),
  client: optional(union([string(), array(union([string(), array(string())]))])),
  skip_verify: optional(boolean()),
  header: optional(record(string(), oneOrMore)),
  override_path: optional(boolean()),
  dial_timeout: optional(string()),
};
const schema = object({
  server: optional(string()),
  ...hostFields,
  host: optional(record(string(), object(hostFields))),
});

type HostFields = Omit<InferOutput<typeof schema>, 'server' | 'host'>;

/** One server to ask for an image, in the order to ask. */
export interface Endpoint {
  /** `https://mirror.example:5000/v2`, without a slash at the end. */
  readonly base: URL;
  /** Asked there instead where the server turns out to speak no TLS; undefined where `base` alone will do. */
  readonly plainBase?: URL;
  /** Where it is said which scheme it has, or could be. */
  readonly source: EndpointSource;
  readonly capabilities: ReadonlySet<'pull' | 'resolve' | 'push'>;
  /** PEM files of further certificate authorities. */
  readonly caFiles: readonly string[];
  /** PEM files of client certificates; the key may stand in the same file. */
  readonly clientFiles: readonly { readonly cert: string; readonly key: string }[];
  readonly skipVerify: boolean;
  /** On this very host, and no file says how to check it: its certificate may be anybody's. */
  readonly isLocal: boolean;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly dialTimeoutMs?: number;
  /** The registry itself and no mirror: what it asks credentials for. */
  readonly isUpstream: boolean;
}

export interface EndpointSource {
  readonly file: string;
  /** As `server`, not as a table of `host`. */
  readonly isServer: boolean;
}

/** The registry that an image names, where no file says how to ask it. */
export interface Upstream extends Pick<Endpoint, 'isLocal'> {
  readonly url: URL;
  /** To be asked instead where it speaks no TLS. */
  readonly plainUrl?: URL;
}

/**
 * The endpoints that one hosts.toml names: its hosts in the file's order, then
 * its server, or `fallback`, the registry that the image names, where it names none. A host that is
 * the registry itself is no mirror, and is not asked once more without what the file says of it.
 * Throws `failed-precondition` naming the file.
 */
export function parseHostsToml(text: string, file: string, fallback: Upstream): Endpoint[] {
  const input = parseToml(text, file);
  const directory = file.slice(0, file.lastIndexOf('/'));
  const { server, host = {}, ...own } = input;
  const upstream = server === undefined || server === '' ? fallback : parseUpstream(server, file);
  const registry = [upstream.url.host, fallback.url.host];
  const listed = Object.entries(host).map(([text, fields]) => {
    const stated = parseUpstream(text, file);
    const isUpstream = registry.includes(stated.url.host);
    return endpointOf(stated, fields, { directory, file, isUpstream, isServer: false });
  });
  const last = endpointOf(upstream, own, { directory, file, isUpstream: true, isServer: true });
  return listed.some((endpoint) => standsFor(endpoint, last)) ? listed : [...listed, last];
}

function standsFor({ base, capabilities }: Endpoint, last: Endpoint): boolean {
  const isSame = base.href === last.base.href || base.href === last.plainBase?.href;
  return isSame && capabilities.has('pull') && capabilities.has('resolve');
}

/** What `ca` and `client` of a hosts.toml say. */
export type Certificates = Pick<HostFields, 'ca' | 'client'>;

/** The endpoint of a registry that no file speaks of; `file` is the one that would. */
export function plainEndpoint(
  upstream: Upstream,
  file: string,
  certificates: Certificates = {},
): Endpoint {
  const context = { directory: '/', file, isUpstream: true, isServer: true };
  return endpointOf(upstream, certificates, context);
}

function parseToml(text: string, file: string): InferOutput<typeof schema> {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new RuntimeError('failed-precondition', `parse ${file}`, { cause });
  }
  const result = safeParse(schema, value);
  if (!result.success) {
    const faults = result.issues.map((issue) => `${getDotPath(issue) ?? ''}: ${issue.message}`);
    throw new RuntimeError('failed-precondition', `parse ${file}: ${faults.join('; ')}`);
  }
  return result.output;
}

/** As containerd, a host without scheme is meant to be https. */
function parseUpstream(text: string, file: string): Upstream {
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : `https://${text}`);
  if (url === null) {
    throw new RuntimeError('failed-precondition', `parse ${file}: "${text}" is no URL`);
  }
  return { url, isLocal: false };
}

interface Context {
  readonly directory: string;
  readonly file: string;
  readonly isUpstream: boolean;
  readonly isServer: boolean;
}

function endpointOf(upstream: Upstream, fields: HostFields, context: Context): Endpoint {
  const { url, plainUrl } = eitherScheme(upstream, fields);
  const resolve = (path: string): string =>
    isAbsolute(path) ? path : join(context.directory, path);
  const dialTimeoutMs = parseDuration(fields.dial_timeout, context.file);
  return {
    base: baseOf(url, fields),
    ...(plainUrl === undefined ? {} : { plainBase: baseOf(plainUrl, fields) }),
    source: { file: context.file, isServer: context.isServer },
    capabilities: new Set(fields.capabilities ?? ['pull', 'resolve', 'push']),
    caFiles: listOf(fields.ca).map(resolve),
    clientFiles: clientsOf(fields.client).map(([cert, key]) => ({
      cert: resolve(cert),
      key: resolve(key),
    })),
    skipVerify: fields.skip_verify ?? false,
    isLocal: upstream.isLocal && (fields.ca ?? fields.skip_verify) === undefined,
    headers: Object.fromEntries(
      Object.entries(fields.header ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    ...(dialTimeoutMs === undefined ? {} : { dialTimeoutMs }),
    isUpstream: context.isUpstream,
  };
}

function baseOf(url: URL, { override_path }: HostFields): URL {
  const base = new URL(url);
  base.search = '';
  const path = base.pathname.replace(/\/+$/, '');
  const isWhole = override_path === true || path.endsWith('/v2');
  base.pathname = isWhole ? path : `${path}/v2`;
  return base;
}

/** As containerd, a plain URL with settings for TLS is asked by TLS first, unless its port leaves no doubt. */
function eitherScheme(upstream: Upstream, fields: HostFields): Upstream {
  const { ca, client, skip_verify } = fields;
  const { protocol, port } = upstream.url;
  if (protocol !== 'http:' || port === '' || (ca ?? client ?? skip_verify) === undefined) {
    return upstream;
  }
  const url = new URL(upstream.url);
  url.protocol = 'https:';
  return { ...upstream, url, plainUrl: upstream.url };
}

function listOf(value: string | string[] | undefined): string[] {
  return typeof value === 'string' ? [value] : (value ?? []);
}

/** `"file"`, `["file", ...]` or `[["cert", "key"], ...]`. */
function clientsOf(client: HostFields['client']): [cert: string, key: string][] {
  const entries = typeof client === 'string' ? [client] : (client ?? []);
  return entries.map((entry) => {
    const [cert = '', key = cert] = typeof entry === 'string' ? [entry] : entry;
    return [cert, key === '' ? cert : key];
  });
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it: `10s`, `1m30s`. */
function parseDuration(text: string | undefined, file: string): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  if (!/^([\d.]+(ms|s|m|h))+$/.test(text)) {
    throw new RuntimeError('failed-precondition', `parse ${file}: dial_timeout "${text}"`);
  }
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce(
    (total, [, count, unit = 'ms']) => total + Number(count) * (units[unit] ?? 1),
    0,
  );
}
