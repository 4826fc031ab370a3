import { getDescription } from 'valibot';
import { parseConfig } from './parse-config.ts';
import { configSchema } from './schema.ts';
import type { SchemaNode } from './schema-node.ts';

/** One key of config.toml, or a table of them. */
export interface ConfigKey {
  /** The name as it is written in the file. */
  readonly name: string;
  readonly path: readonly string[];
  /** The sentence of the schema; undefined where a key has none, which a test forbids. */
  readonly description: string | undefined;
  /** What may stand there, in words. */
  readonly type: string;
  /** As written in the schema: what depends on the host is not filled in. */
  readonly default: unknown;
  /** A table that stands for any number of them and is there by default in no number. */
  readonly isExample?: boolean;
  /** The keys of a table; absent for a value. */
  readonly keys?: readonly ConfigKey[];
}

/** Every key of the config in the order of the schema. */
export function configKeys(): readonly ConfigKey[] {
  return keysOf(configSchema as unknown as SchemaNode, [], parseConfig(configSchema, {}));
}

function keysOf(table: SchemaNode, path: readonly string[], defaults: unknown): ConfigKey[] {
  return Object.entries(table.entries ?? {}).map(([name, schema]) =>
    keyOf(name, schema, [...path, name], (defaults as Record<string, unknown>)[name]),
  );
}

function keyOf(
  name: string,
  schema: SchemaNode,
  path: readonly string[],
  value: unknown,
): ConfigKey {
  const bare = schema.wrapped ?? schema;
  const key = { name, path, description: getDescription(schema), default: value };
  if (bare.entries !== undefined) {
    return { ...key, type: 'table', keys: keysOf(bare, path, value) };
  }
  if (bare.type === 'record' && bare.value !== undefined) {
    return { ...key, type: 'tables', keys: tablesOf(bare.value, path, value) };
  }
  return { ...key, type: typeOf(bare) };
}

/** The tables of a record; where there is none by default, one that shows their keys. */
function tablesOf(entry: SchemaNode, path: readonly string[], value: unknown): ConfigKey[] {
  const table = (name: string, defaults: unknown): ConfigKey => ({
    name,
    path: [...path, name],
    description: undefined,
    type: 'table',
    default: defaults,
    keys: keysOf(entry, [...path, name], defaults),
  });
  const tables = Object.entries(value as Record<string, unknown>);
  return tables.length > 0
    ? tables.map(([name, defaults]) => table(name, defaults))
    : [{ ...table('<name>', parseConfig(entry, {})), isExample: true }];
}

function typeOf(schema: SchemaNode): string {
  if (schema.options !== undefined) {
    return schema.options.map((option) => JSON.stringify(option)).join(', ');
  }
  if (schema.literal !== undefined) {
    return JSON.stringify(schema.literal);
  }
  return schema.type === 'array' ? 'list of strings' : schema.type;
}
