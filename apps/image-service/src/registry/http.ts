import { readFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { RuntimeError } from '@gantry/errors';
import type { Endpoint } from './hosts-toml.ts';
import { StalledError, silent } from './pace.ts';
import { schemeOfFault, WrongSchemeError } from './wrong-scheme.ts';

export interface HttpRequest {
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
}

/** An answer whose body has not been read: read it, or destroy it. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** As HttpOptions has it. */
  readonly idleTimeoutMs: number;
}

export interface HttpOptions {
  readonly signal: AbortSignal;
  /** Not all headers, or then no byte, for so long: the request fails. 0 waits for ever. */
  readonly idleTimeoutMs: number;
}

const maxRedirects = 10;
const defaultDialTimeoutMs = 30_000;

interface TlsFiles {
  readonly ca?: (string | Buffer)[];
  readonly cert?: Buffer[];
  readonly key?: Buffer[];
}

/** HTTP to one endpoint and to wherever it redirects: connections, certificates, timeouts. */
export class HttpClient {
  readonly #endpoint: Endpoint;
  #tls: Promise<TlsFiles> | undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /**
   * Sends a request and follows redirects. What only the endpoint may see
   * (configured headers, client certificates) goes to no other host, a token
   * server included, and what only the host of the request may (Authorization, a
   * body) to none that it redirects to. Rejects with what the network says, or
   * the signal's reason.
   */
  async send(request: HttpRequest, options: HttpOptions): Promise<HttpAnswer> {
    let { url } = request;
    for (let redirects = 0; ; redirects++) {
      const answer = await this.#sendOnce({ ...request, url }, request.url.origin, options);
      const { location } = answer.headers;
      const isRedirect = answer.status >= 300 && answer.status < 400 && location !== undefined;
      if (!isRedirect) {
        return answer;
      }
      answer.body.destroy();
      const next = URL.parse(location, url.href);
      if (next === null || !/^https?:$/.test(next.protocol)) {
        throw new RuntimeError(
          'failed-precondition',
          `registry host ${url.host} redirects to what is no URL`,
        );
      }
      if (url.protocol === 'https:' && next.protocol === 'http:') {
        throw new RuntimeError(
          'failed-precondition',
          `registry host ${url.host} redirects from https to plain http`,
        );
      }
      if (request.body !== undefined && next.origin !== request.url.origin) {
        // It may hold a refresh token.
        throw new RuntimeError(
          'failed-precondition',
          `host ${url.host} redirects a request that is meant for it alone`,
        );
      }
      if (redirects === maxRedirects) {
        throw new RuntimeError(
          'failed-precondition',
          `registry host ${url.host} redirects more than ${maxRedirects} times`,
        );
      }
      url = next;
    }
  }

  async #sendOnce(
    request: HttpRequest,
    meantFor: string,
    { signal, idleTimeoutMs }: HttpOptions,
  ): Promise<HttpAnswer> {
    const isTls = request.url.protocol === 'https:';
    const tls = isTls ? await this.#tlsOptions(request.url.origin) : {};
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const outgoing = (isTls ? requestHttps : requestHttp)(request.url, {
        method: request.method ?? 'GET',
        headers: this.#headersOf(request, meantFor),
        signal,
        ...tls,
      });
      const dial = setTimeout(() => {
        outgoing.destroy(new Error('connection timed out'));
      }, this.#endpoint.dialTimeoutMs ?? defaultDialTimeoutMs);
      outgoing.on('socket', (socket) => {
        const connected = () => clearTimeout(dial);
        if (socket.connecting) {
          socket.once(isTls ? 'secureConnect' : 'connect', connected);
        } else {
          connected();
        }
      });
      // From the first byte of the headers to the last: they can't be told from silence if they trickle.
      const headers =
        idleTimeoutMs === 0
          ? undefined
          : setTimeout(() => outgoing.destroy(silent(idleTimeoutMs)), idleTimeoutMs);
      outgoing.on('response', (body) => {
        clearTimeout(dial);
        clearTimeout(headers);
        outgoing.setTimeout(idleTimeoutMs, () => {
          if (body.readableLength > 0) {
            // It is we who do not read: not the server's fault.
            outgoing.setTimeout(idleTimeoutMs);
          } else {
            body.destroy(silent(idleTimeoutMs));
          }
        });
        const { statusCode: status = 0, headers: answered } = body;
        resolve({ status, headers: answered, body, url: request.url, idleTimeoutMs });
      });
      outgoing.on('error', (error) => {
        clearTimeout(dial);
        clearTimeout(headers);
        reject(signal.aborted ? (signal.reason as Error) : plainError(error, request.url));
      });
      outgoing.end(request.body);
    });
  }

  #headersOf({ url, headers }: HttpRequest, meantFor: string): Record<string, string | string[]> {
    const { authorization, ...open } = { ...headers };
    const isMeant = url.origin === meantFor && authorization !== undefined;
    return {
      'user-agent': 'gantry',
      ...open,
      ...(url.origin === this.#endpoint.base.origin ? this.#endpoint.headers : {}),
      ...(isMeant ? { authorization } : {}),
    };
  }

  async #tlsOptions(origin: string) {
    this.#tls ??= readTlsFiles(this.#endpoint);
    const { ca, cert, key } = await this.#tls;
    const { base, skipVerify, isLocal } = this.#endpoint;
    const isOwn = origin === base.origin;
    return {
      rejectUnauthorized: !(skipVerify || (isLocal && isOwn)),
      ...(ca === undefined ? {} : { ca }),
      ...(isOwn && cert !== undefined ? { cert, key } : {}),
    };
  }
}

/**
 * Of a host with several addresses, the first failure stands for all. What OpenSSL says is cut to what
 * tells of the peer, and Node's advice on its own options left out.
 */
function plainError(error: Error, url: URL): Error {
  const [first = error] = error instanceof AggregateError ? (error.errors as Error[]) : [];
  const speaks = schemeOfFault(first, url);
  if (speaks !== undefined) {
    return new WrongSchemeError(speaks, url);
  }
  if ('reason' in first && 'library' in first) {
    return Object.assign(new Error(`TLS: ${String(first.reason)}`), codeOf(first));
  }
  const words = first.message.split('; if the root CA is installed locally', 1)[0] ?? '';
  return words === first.message ? first : Object.assign(new Error(words), codeOf(first));
}

function codeOf(error: Error): { readonly code?: unknown } {
  return 'code' in error ? { code: error.code } : {};
}

async function readTlsFiles({ caFiles, clientFiles }: Endpoint): Promise<TlsFiles> {
  const read = async (file: string): Promise<Buffer> => {
    try {
      return await readFile(file);
    } catch (cause) {
      throw new RuntimeError('failed-precondition', `read certificate ${file}`, { cause });
    }
  };
  const ca = await Promise.all(caFiles.map(read));
  const cert = await Promise.all(clientFiles.map((pair) => read(pair.cert)));
  const key = await Promise.all(clientFiles.map((pair) => read(pair.key)));
  return {
    ...authorities(ca),
    ...(cert.length === 0 ? {} : { cert, key }),
  };
}

/**
 * Besides the authorities that Node brings, those of the host count, as for
 * every Go program: that is where companies put their own. Empty where they are the same.
 */
function authorities(own: readonly Buffer[]): { ca?: (string | Buffer)[] } {
  // An import would have Node decode all its certificates in every process.
  const { getCACertificates } = process.getBuiltinModule('node:tls');
  const known = getCACertificates('default');
  const extra = new Set(getCACertificates('system')).difference(new Set(known));
  return extra.size + own.length === 0 ? {} : { ca: [...known, ...extra, ...own] };
}

/** The body of an answer, up to a limit; more than that is an error, and so is one that takes longer than silence may. */
export async function readBody(answer: HttpAnswer, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const { idleTimeoutMs } = answer;
  const begun = performance.now();
  let length = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (idleTimeoutMs > 0 && performance.now() - begun > idleTimeoutMs) {
      answer.body.destroy();
      throw new StalledError(`only ${length} bytes came in ${idleTimeoutMs / 1000} s`);
    }
    if (length > maxBytes) {
      answer.body.destroy();
      throw new RuntimeError(
        'failed-precondition',
        `registry host ${answer.url.host} sent more than ${maxBytes} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
