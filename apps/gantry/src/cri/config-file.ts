import { readFileSync } from 'node:fs';
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import { parse } from 'yaml';

/**
 * Reads a pod or container config as crictl does: JSON or YAML with the field names of the CRI, in
 * snake_case or camelCase; `-` reads standard input. Fields that the CRI does not have are ignored, and
 * told through `note`, as they are often misspelt. Throws `invalid-argument` with the file's name.
 */
export function readConfigFile<D extends DescMessage>(
  schema: D,
  file: string,
  note: (text: string) => void,
): MessageShape<D> {
  let json: JsonValue;
  try {
    json = parse(readFileSync(file === '-' ? 0 : file, 'utf8')) as JsonValue;
  } catch (cause) {
    throw new RuntimeError('invalid-argument', `read ${file}`, { cause });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new RuntimeError('invalid-argument', `read ${file}: it holds no object`);
  }
  const clean = withoutNulls(json);
  try {
    return fromJson(schema, clean);
  } catch (cause) {
    const unknown = cause instanceof Error && /key "(.+)" is unknown/.exec(cause.message);
    if (!unknown) {
      throw new RuntimeError('invalid-argument', `read ${file}`, { cause });
    }
    note(`${file}: the CRI has no field "${unknown[1]}": ignored`);
  }
  try {
    return fromJson(schema, clean, { ignoreUnknownFields: true });
  } catch (cause) {
    throw new RuntimeError('invalid-argument', `read ${file}`, { cause });
  }
}

/** An empty YAML value (`labels:`) is null, and means: not set. */
function withoutNulls(value: JsonValue): JsonValue {
  if (Array.isArray(value)) {
    return value.map(withoutNulls);
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, inner]) => inner !== null)
        .map(([key, inner]) => [key, withoutNulls(inner)]),
    );
  }
  return value;
}
