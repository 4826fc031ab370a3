import { RuntimeError } from '@gantry/errors';
import { looseObject, optional, safeParse, string } from 'valibot';
import type { Credentials } from '../ports.ts';
import { type Challenge, parseChallenge } from './challenge.ts';
import { type HttpClient, type HttpOptions, readBody } from './http.ts';

const maxTokenBytes = 1 << 20;
const tokenAnswer = looseObject({
  token: optional(string()),
  access_token: optional(string()),
});

/**
 * Meets the challenges of one endpoint for one repository (distribution spec:
 * token authentication). Keeps what it got for the time of a pull.
 */
export class Authorizer {
  readonly #http: HttpClient;
  readonly #credentials: Credentials | undefined;
  readonly #repository: string;
  #header: Promise<string> | undefined;

  /** `credentials` are meant for this endpoint and are sent to it, and to the token server it names. */
  constructor(http: HttpClient, credentials: Credentials | undefined, repository: string) {
    this.#http = http;
    this.#credentials = credentials;
    this.#repository = repository;
    if (credentials !== undefined && credentials.registryToken !== '') {
      this.#header = Promise.resolve(`Bearer ${credentials.registryToken}`);
    }
  }

  /** The Authorization header that has worked, if any is needed. */
  current(): Promise<string> | undefined {
    return this.#header;
  }

  /** Answers a 401. False when nothing more can be offered. */
  async meet(header: string | undefined, options: HttpOptions): Promise<boolean> {
    const challenge = parseChallenge(header);
    const isBasic = challenge?.scheme === 'basic';
    if (challenge === undefined || (isBasic && basicOf(this.#credentials) === undefined)) {
      return false;
    }
    const pending = this.#answer(challenge, options);
    // A failed attempt must not stand in the way of the next.
    pending.catch(() => {
      this.#header = undefined;
    });
    this.#header = pending;
    await pending;
    return true;
  }

  async #answer(challenge: Challenge, options: HttpOptions): Promise<string> {
    if (challenge.scheme === 'basic') {
      return basicOf(this.#credentials) ?? '';
    }
    const realm = URL.parse(challenge.realm);
    if (realm === null || !/^https?:$/.test(realm.protocol)) {
      throw new RuntimeError('unauthenticated', 'the registry names a token server that is no URL');
    }
    const scope = challenge.scope === '' ? `repository:${this.#repository}:pull` : challenge.scope;
    const credentials = this.#credentials;
    const answer =
      credentials !== undefined && credentials.identityToken !== ''
        ? await this.#http.send(
            refreshRequest(realm, challenge.service, scope, credentials),
            options,
          )
        : await this.#http.send(
            {
              url: withQuery(realm, challenge.service, scope),
              headers: authorization(basicOf(credentials)),
            },
            options,
          );
    const body = await readBody(answer, maxTokenBytes);
    if (answer.status !== 200) {
      throw new RuntimeError(
        'unauthenticated',
        `token server ${realm.host} answered ${answer.status}: check the credentials`,
      );
    }
    return `Bearer ${parseToken(body, realm.host)}`;
  }
}

function withQuery(realm: URL, service: string, scope: string): URL {
  const url = new URL(realm);
  if (service !== '') {
    url.searchParams.set('service', service);
  }
  for (const part of scope.split(' ')) {
    url.searchParams.append('scope', part);
  }
  return url;
}

/** OAuth2 with a refresh token (distribution: oauth.md). */
function refreshRequest(url: URL, service: string, scope: string, credentials: Credentials) {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: credentials.identityToken,
    client_id: 'gantry',
    service,
    scope,
  });
  return {
    method: 'POST',
    url,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  } as const;
}

function parseToken(body: Buffer, host: string): string {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    value = undefined;
  }
  const result = safeParse(tokenAnswer, value);
  const token = result.success ? (result.output.token ?? result.output.access_token ?? '') : '';
  if (token === '' || /[^\x21-\x7e]/.test(token)) {
    throw new RuntimeError('unauthenticated', `token server ${host} sent no token`);
  }
  return token;
}

function basicOf(credentials: Credentials | undefined): string | undefined {
  if (credentials === undefined || credentials.username === '') {
    return undefined;
  }
  const { username, password } = credentials;
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function authorization(header: string | undefined): Record<string, string> {
  return header === undefined ? {} : { authorization: header };
}
