import { type ErrorKind, RuntimeError } from '@gantry/errors';
import { array, looseObject, optional, safeParse, string } from 'valibot';
import { type HttpAnswer, readBody } from './http.ts';

const maxErrorBytes = 64 << 10;
const errorBody = looseObject({
  errors: array(looseObject({ code: optional(string()), message: optional(string()) })),
});

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

/** Turns an answer that is no success into an error with host, status and the registry's own words. */
export async function registryError(answer: HttpAnswer, what: string): Promise<RegistryError> {
  const { status, url } = answer;
  const said = await wordsOf(answer);
  const message = `${what}: registry host ${url.host} answered ${status}${said}`;
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

async function wordsOf(answer: HttpAnswer): Promise<string> {
  try {
    const body = (await readBody(answer, maxErrorBytes)).toString('utf8');
    const isText = answer.headers['content-type']?.startsWith('text/plain') === true;
    const words = isText ? body.trim() : wordsOfErrors(JSON.parse(body));
    // Into a log and onto a terminal: one line, no control characters, not long.
    return words === '' ? '' : `: ${words.replaceAll(/[^\x20-\x7e]/g, ' ').slice(0, 500)}`;
  } catch {
    return '';
  }
}

/** What a registry says by the distribution spec; empty where it says something else. */
function wordsOfErrors(body: unknown): string {
  const result = safeParse(errorBody, body);
  return result.success
    ? result.output.errors
        .slice(0, 3)
        .map(({ code = '', message = '' }) =>
          [code.toLowerCase(), message].filter(Boolean).join(': '),
        )
        .join('; ')
    : '';
}
