import { RuntimeError } from '@gantry/errors';
import {
  type BaseIssue,
  type BaseSchema,
  check,
  custom,
  getDotPath,
  type InferOutput,
  integer,
  maxValue,
  minValue,
  number,
  pipe,
  record,
  safeParse,
  string,
} from 'valibot';
import { type Digest, isDigest } from './digest.ts';

/** Nothing that describes an image is larger: containerd's limit is 8 MiB, registries' own is 4 MiB. */
export const maxDocumentBytes = 8 << 20;

export const digestSchema = custom<Digest>(
  (value) => typeof value === 'string' && isDigest(value),
  'must be a sha256 or sha512 digest',
);
export const sizeSchema = pipe(number(), integer(), minValue(0), maxValue(Number.MAX_SAFE_INTEGER));
export const stringMap = pipe(
  record(string(), string()),
  check((map) => Object.keys(map).length <= 10_000, 'must have at most 10000 entries'),
);

type Schema = BaseSchema<unknown, unknown, BaseIssue<unknown>>;

/**
 * Parses JSON that came from outside. Throws `invalid-argument` that begins
 * with `what` and names the first faults by path, never echoing their values.
 */
export function parseDocument<S extends Schema>(
  schema: S,
  bytes: Uint8Array,
  what: string,
): InferOutput<S> {
  const result = safeParse(schema, parseJson(bytes, what));
  if (!result.success) {
    const faults = result.issues.slice(0, 3).map((issue) => {
      const path = (getDotPath(issue) ?? '(root)').replaceAll(/[^\x21-\x7e]/g, '?');
      // What was there instead may be meant for a terminal.
      const fault = issue.message.replace(/ but received .*$/s, '');
      return `${path.slice(0, 200)}: ${fault.slice(0, 200)}`;
    });
    throw new RuntimeError('invalid-argument', `${what}: ${faults.join('; ')}`);
  }
  return result.output;
}

export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > maxDocumentBytes) {
    throw new RuntimeError(
      'invalid-argument',
      `${what}: ${bytes.length} bytes, more than ${maxDocumentBytes}`,
    );
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // The parser's own words quote the input: of no use, and possibly not fit for a terminal.
    throw new RuntimeError('invalid-argument', `${what}: not JSON`);
  }
}
