import { type BaseIssue, type BaseSchema, getDotPath } from 'valibot';
import type { SchemaNode } from './schema-node.ts';

/** One fault of a config file, in the words of its author: the key, and what may stand there. */
export function faultText(
  schema: BaseSchema<unknown, unknown, BaseIssue<unknown>>,
  issue: BaseIssue<unknown>,
): string {
  const path = getDotPath(issue) ?? '(root)';
  const [, wanted, found] =
    /^Invalid \w+: Expected (.+) but received (.+)$/s.exec(issue.message) ?? [];
  if (wanted === undefined || found === undefined) {
    return `${path}: ${issue.message}`;
  }
  if (wanted === 'never') {
    const table = (issue.path ?? []).slice(0, -1).map((item) => String(item.key));
    return `${path}: there is no such key${keysText(schema as SchemaNode, table)}`;
  }
  return found === 'undefined'
    ? `${path}: is missing`
    : `${path}: must be ${wordsOf(wanted)}, not ${foundText(found)}`;
}

function keysText(schema: SchemaNode, table: readonly string[]): string {
  const names = Object.keys(table.reduce(entryOf, bareOf(schema)).entries ?? {});
  const where = table.length === 0 ? '' : ` in [${table.join('.')}]`;
  return names.length === 0 ? '' : `${where}. There are: ${names.join(', ')}`;
}

/** Of a table of tables, which takes any name, the schema of each. */
function entryOf(node: SchemaNode, name: string): SchemaNode {
  return bareOf(node.entries?.[name] ?? node.value ?? node);
}

function bareOf(node: SchemaNode): SchemaNode {
  return node.wrapped ?? node;
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
