import { setTimeout as delay } from 'node:timers/promises';
import { isKind } from '@gantry/errors';
import { hasCode } from '@gantry/host';
import { withSpan } from '@gantry/telemetry';
import type { Credentials } from '../ports.ts';
import { Authorizer } from './authorizer.ts';
import type { Endpoint } from './hosts-toml.ts';
import { type HttpAnswer, HttpClient, type HttpOptions } from './http.ts';
import type { KnownAnswers } from './known-answers.ts';
import { RegistryError, registryError } from './registry-error.ts';
import { WrongSchemeError, withAdvice } from './wrong-scheme.ts';

export interface EndpointOptions {
  /** `library/busybox`. */
  readonly repository: string;
  /** The host of the image's name, told to mirrors as `?ns=`. */
  readonly registry: string;
  readonly credentials: Credentials | undefined;
  /** What earlier pulls have found out. */
  readonly known: KnownAnswers;
  /** Hosts (with their ports) that could speak TLS, and have turned out not to. */
  readonly plainHosts: Set<string>;
  /** First pause between tries, doubled each time. */
  readonly backoffMs: number;
}

const maxTries = 4;
const longestRetryAfterMs = 60_000;

/** How an endpoint is spoken to: by HTTPS, or without. */
interface Way {
  readonly base: URL;
  readonly http: HttpClient;
  readonly authorizer: Authorizer;
}

interface Wanted {
  readonly path: string;
  /** For errors: `fetch manifest v1`. */
  readonly what: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly options: HttpOptions;
}

/** Asks one endpoint for things of one repository: scheme, auth, retries, words for its errors. */
export class EndpointClient {
  readonly endpoint: Endpoint;
  readonly #options: EndpointOptions;
  readonly #way: Way;
  /** Where the other is of no use. */
  readonly #plainWay: Way | undefined;

  constructor(endpoint: Endpoint, options: EndpointOptions) {
    const { base, plainBase } = endpoint;
    this.endpoint = endpoint;
    this.#options = options;
    this.#way = wayTo(base, endpoint, options);
    this.#plainWay = plainBase === undefined ? undefined : wayTo(plainBase, endpoint, options);
  }

  /**
   * GET `<repository>/<path>`. Tries again when the server fails or the
   * connection breaks; resolves with a success (2xx), else rejects with a
   * RegistryError or what the network said.
   */
  async get(
    path: string,
    what: string,
    headers: Readonly<Record<string, string>>,
    options: HttpOptions,
  ): Promise<HttpAnswer> {
    for (let attempt = 1; ; attempt++) {
      try {
        const attributes = { 'server.address': this.endpoint.base.host, 'url.path': path, attempt };
        return await withSpan('registry.get', attributes, () =>
          this.#getOnce({ path, what, headers, options }),
        );
      } catch (error) {
        if (attempt === maxTries || options.signal.aborted || !isWorthAnotherTry(error)) {
          throw withAdvice(error, this.endpoint);
        }
        const pauseMs = retryAfterMs(error) ?? this.#options.backoffMs * 2 ** (attempt - 1);
        await delay(pauseMs, undefined, { signal: options.signal });
      }
    }
  }

  async #getOnce(wanted: Wanted): Promise<HttpAnswer> {
    const plainWay = this.#plainWay;
    if (plainWay === undefined) {
      return this.#getBy(this.#way, wanted);
    }
    const { plainHosts } = this.#options;
    const { host } = this.endpoint.base;
    if (plainHosts.has(host)) {
      try {
        return await this.#getBy(plainWay, wanted);
      } catch (error) {
        if (error instanceof RegistryError) {
          throw error;
        }
        // Another server may be there by now: the next try looks again, or this one where it says so.
        plainHosts.delete(host);
        if (!(error instanceof WrongSchemeError)) {
          throw error;
        }
      }
    }
    try {
      return await this.#getBy(this.#way, wanted);
    } catch (error) {
      if (!this.#speaksNoTls(error)) {
        throw error;
      }
    }
    try {
      const answer = await this.#getBy(plainWay, wanted);
      plainHosts.add(host);
      return answer;
    } catch (error) {
      if (error instanceof RegistryError) {
        plainHosts.add(host);
      }
      throw error;
    }
  }

  #speaksNoTls(error: unknown): boolean {
    const { base, plainBase } = this.endpoint;
    if (error instanceof WrongSchemeError) {
      return error.url.host === base.host && error.speaks === 'http';
    }
    // Without a port in its name it may be at that of HTTP.
    return base.port === '' && plainBase?.port === '' && hasCode(error, 'ECONNREFUSED');
  }

  async #getBy(
    { base, http, authorizer }: Way,
    { path, what, headers, options }: Wanted,
  ): Promise<HttpAnswer> {
    const url = this.#urlOf(base, path);
    for (let isRetry = false; ; isRetry = true) {
      const authorization = await authorizer.current();
      const answer = await http.send(
        { url, headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) } },
        options,
      );
      if (answer.status >= 200 && answer.status < 300) {
        await authorizer.worked();
        return answer;
      }
      const challenge = answer.headers['www-authenticate'];
      if (answer.status === 401 && !isRetry && (await authorizer.meet(challenge, options))) {
        answer.body.resume();
        continue;
      }
      const retryAfterMs = parseRetryAfter(answer.headers['retry-after'], Date.now());
      const error = await registryError(answer, what, {
        secrets: authorizer.secrets(authorization),
        ...(answer.status === 401 ? { note: this.#credentialsNote() } : {}),
      });
      throw retryAfterMs === undefined ? error : Object.assign(error, { retryAfterMs });
    }
  }

  /** The registry says the same whether it was given wrong credentials or none. */
  #credentialsNote(): string {
    if (!this.endpoint.isUpstream) {
      return 'mirrors get no credentials';
    }
    return this.#options.credentials === undefined
      ? 'there were no credentials for it'
      : 'with the credentials that it was given';
  }

  #urlOf(base: URL, path: string): URL {
    const url = new URL(base);
    url.pathname = `${url.pathname}/${this.#options.repository}/${path}`;
    if (!this.endpoint.isUpstream) {
      url.searchParams.set('ns', this.#options.registry);
    }
    return url;
  }
}

function wayTo(base: URL, endpoint: Endpoint, options: EndpointOptions): Way {
  const { repository, known } = options;
  // Credentials are for the registry that the image is named after, not for whoever mirrors it.
  const credentials = endpoint.isUpstream ? options.credentials : undefined;
  const http = new HttpClient({ ...endpoint, base });
  return { base, http, authorizer: new Authorizer(http, { base, repository, credentials }, known) };
}

const refusals = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);

/** Server faults, rate limits and broken connections pass; a host that is not there does not soon. */
function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof RegistryError) {
    return error.status >= 500 || error.status === 429 || error.status === 408;
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const isConnection = /^E[A-Z]+$/.test(code);
  return isConnection && !refusals.has(code) && !isKind(error, 'failed-precondition');
}

/** Seconds or a date (RFC 9110, section 10.2.3); undefined for anything else. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d+$/.test(text)) {
    return Number(text) * 1000;
  }
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

function retryAfterMs(error: unknown): number | undefined {
  if (error instanceof Error && 'retryAfterMs' in error) {
    return Math.min(Number(error.retryAfterMs), longestRetryAfterMs);
  }
  return undefined;
}
