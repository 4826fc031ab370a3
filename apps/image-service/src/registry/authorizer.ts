import { RuntimeError } from '@gantry/errors';
import { looseObject, number, optional, safeParse, string } from 'valibot';
import type { Credentials } from '../ports.ts';
import { type Challenge, parseChallenge } from './challenge.ts';
import { type HttpClient, type HttpOptions, readBody } from './http.ts';
import type { Asker, KnownAnswers } from './known-answers.ts';
import { wordsOf } from './registry-error.ts';

const maxTokenBytes = 1 << 20;
const tokenAnswer = looseObject({
  token: optional(string()),
  access_token: optional(string()),
  expires_in: optional(number()),
});
/** Of a token that does not say so (distribution: token.md), and of a password. */
const defaultLifetimeMs = 60_000;

interface Answer {
  readonly header: string;
  readonly lifetimeMs: number;
}

/**
 * Meets the challenges of one endpoint for one repository (distribution spec:
 * token authentication). Keeps what it got for the time of a pull, and what has
 * worked for those that follow.
 */
export class Authorizer {
  readonly #http: HttpClient;
  readonly #credentials: Credentials | undefined;
  readonly #asker: Asker;
  readonly #known: KnownAnswers;
  #answer: Promise<Answer> | undefined;

  /** The credentials are meant for this endpoint and are sent to it, and to the token server it names. */
  constructor(http: HttpClient, asker: Asker, known: KnownAnswers) {
    this.#http = http;
    this.#credentials = asker.credentials;
    this.#asker = asker;
    this.#known = known;
  }

  /** The Authorization header to be sent now, if any is known to be needed. */
  async current(): Promise<string | undefined> {
    if (this.#answer !== undefined) {
      return (await this.#answer).header;
    }
    const token = this.#credentials?.registryToken ?? '';
    return token === '' ? this.#known.find(this.#asker) : `Bearer ${token}`;
  }

  /** What was sent has been taken. */
  async worked(): Promise<void> {
    if (this.#answer !== undefined) {
      const { header, lifetimeMs } = await this.#answer;
      if (this.#known.find(this.#asker) !== header) {
        this.#known.remember(this.#asker, header, lifetimeMs);
      }
    }
  }

  /** Answers a 401. False when nothing more can be offered. */
  async meet(header: string | undefined, options: HttpOptions): Promise<boolean> {
    this.#known.forget(this.#asker);
    const challenge = parseChallenge(header);
    const isBasic = challenge?.scheme === 'basic';
    if (challenge === undefined || (isBasic && basicOf(this.#credentials) === undefined)) {
      return false;
    }
    const pending = this.#meet(challenge, options);
    // A failed attempt must not stand in the way of the next.
    pending.catch(() => {
      this.#answer = undefined;
    });
    this.#answer = pending;
    await pending;
    return true;
  }

  async #meet(challenge: Challenge, options: HttpOptions): Promise<Answer> {
    if (challenge.scheme === 'basic') {
      return { header: basicOf(this.#credentials) ?? '', lifetimeMs: defaultLifetimeMs };
    }
    const realm = URL.parse(challenge.realm);
    if (realm === null || !/^https?:$/.test(realm.protocol)) {
      throw new RuntimeError('unauthenticated', 'the registry names a token server that is no URL');
    }
    const scope =
      challenge.scope === '' ? `repository:${this.#asker.repository}:pull` : challenge.scope;
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
    if (answer.status !== 200) {
      const said = await wordsOf(answer, this.secrets());
      throw new RuntimeError(
        'unauthenticated',
        `token server ${realm.host} answered ${answer.status}${said}: check the credentials`,
      );
    }
    return parseToken(await readBody(answer, maxTokenBytes), realm.host);
  }

  /** What no error may hold, whoever says it: the credentials, and the Authorization header that was made of them. */
  secrets(authorization = basicOf(this.#credentials)): string[] {
    const { password = '', identityToken = '', registryToken = '' } = this.#credentials ?? {};
    const sent = authorization?.split(' ')[1] ?? '';
    return [password, identityToken, registryToken, sent];
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

function parseToken(body: Buffer, host: string): Answer {
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
  const seconds = result.success ? result.output.expires_in : undefined;
  const lifetimeMs = seconds === undefined ? defaultLifetimeMs : seconds * 1000;
  return { header: `Bearer ${token}`, lifetimeMs };
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
