import { type DescMessage, type JsonObject, type MessageShape, toJson } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { stringify } from 'yaml';
import { type Invocation, option } from '../invocation.ts';
import { isoNanos } from './time.ts';

export type OutputFormat = 'table' | 'json' | 'yaml';

/** The value of --output. Throws `invalid-argument` for one that there is not. */
export function outputFormat(invocation: Invocation): OutputFormat {
  const format = option(invocation, 'output') ?? 'table';
  if (format !== 'table' && format !== 'json' && format !== 'yaml') {
    throw new RuntimeError('invalid-argument', `--output ${format}: must be table, json or yaml`);
  }
  return format;
}

/** As `outputFormat`, of what has no table. */
export function documentFormat(invocation: Invocation): 'json' | 'yaml' {
  const format = option(invocation, 'output') ?? 'json';
  if (format !== 'json' && format !== 'yaml') {
    throw new RuntimeError('invalid-argument', `--output ${format}: must be json or yaml`);
  }
  return format;
}

/** A message in protobuf's JSON mapping with every field, as crictl prints it. */
export function messageJson<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
): JsonObject {
  return toJson(schema, message, { alwaysEmitImplicit: true }) as JsonObject;
}

export function formatted(format: 'json' | 'yaml', value: unknown): string {
  return format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value);
}

/** The `info` map of a verbose answer: values that are JSON are shown as such, beside the status as crictl has it. */
export function parsedInfo(info: Readonly<Record<string, string>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(info).map(([key, text]) => {
      try {
        return [key, JSON.parse(text) as unknown];
      } catch {
        return [key, text];
      }
    }),
  );
}

/** Turns the CRI's nanoseconds (as strings, under `names`) into dates that can be read. */
export function withDates(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) =>
      names.includes(key) && typeof value === 'string' && /^\d+$/.test(value)
        ? [key, isoNanos(BigInt(value))]
        : [key, value],
    ),
  );
}
