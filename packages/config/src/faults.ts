import type { BaseIssue } from 'valibot';
import type { SchemaNode } from './schema-node.ts';

/** One fault of a config file, in the words of its author. */
export interface Fault {
  readonly path: readonly string[];
  /** What is wrong with that key, and what may stand there. */
  readonly text: string;
}

/** What valibot has found; undefined for a key that there is not, which `unknownKeys` tells. */
export function faultOf(issue: BaseIssue<unknown>): Fault | undefined {
  const path = (issue.path ?? []).map((item) => String(item.key));
  const fraction = /^Invalid integer: Received (.+)$/s.exec(issue.message)?.[1];
  if (fraction !== undefined) {
    return { path, text: `must be a whole number, not ${fraction}` };
  }
  const [, wanted, found] =
    /^Invalid \w+: Expected (.+) but received (.+)$/s.exec(issue.message) ?? [];
  if (wanted === undefined || found === undefined) {
    return { path, text: issue.message };
  }
  if (wanted === 'never') {
    return undefined;
  }
  const text =
    found === 'undefined' ? 'is missing' : `must be ${wordsOf(wanted)}, not ${foundText(found)}`;
  return { path, text };
}

/** Every key of `input`, at any depth, that `schema` does not have. */
export function unknownKeys(
  schema: SchemaNode,
  input: unknown,
  path: readonly string[] = [],
): Fault[] {
  const bare = schema.wrapped ?? schema;
  const { entries, value } = bare;
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return [];
  }
  return Object.entries(input).flatMap(([name, inner]) => {
    const known = entries !== undefined && Object.hasOwn(entries, name) ? entries[name] : value;
    if (known !== undefined) {
      return unknownKeys(known, inner, [...path, name]);
    }
    return entries === undefined
      ? []
      : [{ path: [...path, name], text: `there is no such key${keysText(entries, path)}` }];
  });
}

function keysText(entries: Readonly<Record<string, unknown>>, table: readonly string[]): string {
  const where = table.length === 0 ? '' : ` in [${table.join('.')}]`;
  return `${where}. There are: ${Object.keys(entries).join(', ')}`;
}

const words: Readonly<Record<string, string>> = {
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
  Array: 'a list',
  Object: 'a table',
};

function wordsOf(wanted: string): string {
  const bound = /^([<>])=(-?[\d.]+)$/.exec(wanted);
  if (bound !== null) {
    return `${bound[1] === '<' ? 'at most' : 'at least'} ${bound[2]}`;
  }
  return words[wanted] ?? wanted.replaceAll(' | ', ' or ').replace(/^\((.*)\)$/, '$1');
}

function foundText(found: string): string {
  return found === 'Array' || found === 'Object' ? (words[found] ?? found) : found;
}
