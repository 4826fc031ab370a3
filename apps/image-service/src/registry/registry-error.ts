import { type ErrorKind, RuntimeError } from '@gantry/errors';
import { array, looseObject, optional, safeParse, string } from 'valibot';
import { type HttpAnswer, readBody } from './http.ts';
import { saysHttps, WrongSchemeError } from './wrong-scheme.ts';

const maxErrorBytes = 64 << 10;
const errorBody = looseObject({
  errors: array(looseObject({ code: optional(string()), message: optional(string()) })),
});
/** What servers call their words where they do not keep to the distribution spec, token servers above all. */
const wordKeys = ['message', 'error_description', 'details', 'detail', 'error'];

/** A registry's refusal; `status` lets the caller try elsewhere or again, 0 means that it gave no answer. */
export class RegistryError extends RuntimeError {
  readonly status: number;

  constructor(kind: ErrorKind, status: number, message: string, options?: ErrorOptions) {
    super(kind, message, options);
    this.status = status;
  }
}

/** The registry can't be reached, or does not keep up its end of the connection. */
export function registryUnavailable(message: string, cause?: unknown): RegistryError {
  return new RegistryError('unavailable', 0, message, { cause });
}

/** Reports whether a registry that is not up to answering is what went wrong. */
export function isRegistryUnavailable(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (e instanceof RegistryError) {
      return e.kind === 'unavailable';
    }
  }
  return false;
}

/**
 * Turns an answer that is no success into an error with host, status and the registry's own words,
 * as `wordsOf` has them, and a note of ours.
 */
export async function registryError(
  answer: HttpAnswer,
  what: string,
  { secrets, note }: { readonly secrets: readonly string[]; readonly note?: string },
): Promise<RegistryError | WrongSchemeError> {
  const { status, url } = answer;
  const said = await wordsOf(answer, secrets);
  if (status === 400 && url.protocol === 'http:' && saysHttps(said)) {
    return new WrongSchemeError('https', url);
  }
  const message = `${what}: registry host ${url.host} answered ${status}${said}${note === undefined ? '' : ` (${note})`}`;
  return new RegistryError(kindOfStatus(status), status, message);
}

function kindOfStatus(status: number): ErrorKind {
  switch (status) {
    case 401:
      return 'unauthenticated';
    case 403:
      return 'permission-denied';
    case 404:
      return 'not-found';
    case 429:
      return 'resource-exhausted';
    default:
      return status >= 500 ? 'unavailable' : 'unknown';
  }
}

/**
 * What the body of a refusal says, after a colon; empty where that is nothing for a line of a log, or where
 * it repeats one of the secrets that it was sent.
 */
export async function wordsOf(answer: HttpAnswer, secrets: readonly string[]): Promise<string> {
  let body: string;
  try {
    body = (await readBody(answer, maxErrorBytes)).toString('utf8');
  } catch {
    return '';
  }
  if (secrets.some((secret) => secret !== '' && body.includes(secret))) {
    return '';
  }
  const type = answer.headers['content-type'] ?? 'text/plain';
  const words = jsonWords(body) ?? (type.startsWith('text/') ? textWords(body) : '');
  // Into a log and onto a terminal: one line, no control characters, not long.
  return words === ''
    ? ''
    : `: ${words
        .replaceAll(/[^\x21-\x7e]+/g, ' ')
        .trim()
        .slice(0, 500)}`;
}

/** Undefined where it is no JSON. */
function jsonWords(body: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  const result = safeParse(errorBody, value);
  if (result.success) {
    return result.output.errors
      .slice(0, 3)
      .map(({ code = '', message = '' }) =>
        [code.toLowerCase(), message].filter(Boolean).join(': '),
      )
      .filter(Boolean)
      .join('; ');
  }
  if (typeof value !== 'object' || value === null) {
    return typeof value === 'string' ? value : '';
  }
  const told = wordKeys.map((key) => (value as Record<string, unknown>)[key]);
  return (
    (told.find((words) => typeof words === 'string' && words !== '') as string | undefined) ?? ''
  );
}

/** Of a page its title, which is a line; text as it is. */
function textWords(body: string): string {
  const isPage = /^\s*<(!doctype|html|\?xml|head|body)/i.test(body);
  const title = /<title>([^<]*)<\/title>/i.exec(body)?.[1] ?? '';
  return isPage ? title.trim() : body.trim();
}
