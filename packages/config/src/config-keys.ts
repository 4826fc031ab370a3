import { type BaseIssue, type BaseSchema, getDescription } from 'valibot';
import { parseConfig } from './parse-config.ts';
import { configSchema } from './schema.ts';

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
  /** The keys of a table; absent for a value. */
  readonly keys?: readonly ConfigKey[];
}

// A view of valibot's schemas that is enough to walk them.
interface SchemaNode extends BaseSchema<unknown, unknown, BaseIssue<unknown>> {
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly wrapped?: SchemaNode;
  readonly value?: SchemaNode;
  readonly options?: readonly string[];
  readonly literal?: unknown;
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
    const entry = bare.value;
    const keys = Object.entries(value as Record<string, unknown>).map(([handler, defaults]) => ({
      name: handler,
      path: [...path, handler],
      description: undefined,
      type: 'table',
      default: defaults,
      keys: keysOf(entry, [...path, handler], defaults),
    }));
    return { ...key, type: 'tables', keys };
  }
  return { ...key, type: typeOf(bare) };
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
