import { RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import type { Endpoint } from './hosts-toml.ts';

export type Scheme = 'http' | 'https';

/** A server speaks TLS where it was asked by plain HTTP, or the other way round. */
export class WrongSchemeError extends RuntimeError {
  /** What it does speak. */
  readonly speaks: Scheme;
  readonly url: URL;

  constructor(speaks: Scheme, url: URL, advice = '') {
    const [is, was] = speaks === 'http' ? ['plain HTTP', 'HTTPS'] : ['HTTPS', 'plain HTTP'];
    const message = `registry host ${url.host} speaks ${is}, and was asked by ${was}${advice}`;
    super('failed-precondition', message);
    this.speaks = speaks;
    this.url = url;
  }
}

/** What a connection that came to nothing tells of the server's scheme; undefined where it does not. */
export function schemeOfFault(error: Error, url: URL): Scheme | undefined {
  if (url.protocol === 'https:') {
    return error.message.includes('wrong version number') ? 'http' : undefined;
  }
  // Where the answer is an alert of TLS: a record of type 21 of version 3.
  const [type, version] =
    'rawPacket' in error && error.rawPacket instanceof Uint8Array ? error.rawPacket : [];
  return type === 21 && version === 3 ? 'https' : undefined;
}

/** As Go, nginx and Apache say it in words, with status 400. */
export function saysHttps(words: string): boolean {
  return /HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS|plain HTTP to an SSL/i.test(
    words,
  );
}

const unverified = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];

/** An error of TLS with what to write, and where, for the endpoint that was asked; any other as it is. */
export function withAdvice(error: unknown, endpoint: Endpoint): unknown {
  if (error instanceof WrongSchemeError) {
    return withScheme(error, endpoint);
  }
  if (error instanceof Error && hasCode(error, ...unverified)) {
    const advice = `name its authority by ca in ${endpoint.source.file}`;
    return new Error(`${error.message}: ${advice}`);
  }
  return error;
}

function withScheme(error: WrongSchemeError, { base, source }: Endpoint): WrongSchemeError {
  if (error.url.host !== base.host) {
    // It redirects to the wrong scheme, or names a token server by it: no file of ours does.
    return error;
  }
  const url = new URL(base);
  const port = base.port || (base.protocol === 'https:' ? '443' : '80');
  url.protocol = error.speaks;
  url.port = port;
  const text = url.href.replace(/\/v2$/, '');
  const line = source.isServer ? `server = "${text}"` : `[host."${text}"]`;
  return new WrongSchemeError(error.speaks, error.url, `: write ${line} in ${source.file}`);
}
