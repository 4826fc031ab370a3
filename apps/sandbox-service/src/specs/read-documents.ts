import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { RuntimeError } from '@gantry/errors';
import { isMissing } from '../errno.ts';

export interface Document {
  readonly path: string;
  /** File name. */
  readonly name: string;
  /** As it was parsed, checked by nobody; undefined when it can't be parsed. */
  readonly content: unknown;
  /** Why not. */
  readonly fault?: RuntimeError;
}

const maxBytes = 16 << 20;

/**
 * The JSON and, where asked for, YAML files of a directory, by name. One that is
 * not there is empty. Read at each use: files come and go without a word to us.
 */
export async function readDocuments(
  directory: string,
  extensions: readonly ('.json' | '.yaml' | '.yml')[],
): Promise<readonly Document[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  });
  const known: readonly string[] = extensions;
  const wanted = names.filter((name) => known.includes(extname(name))).sort();
  const read = await Promise.all(wanted.map((name) => readDocument(join(directory, name), name)));
  return read.filter((document) => document !== undefined);
}

async function readDocument(path: string, name: string): Promise<Document | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    if (text.length > maxBytes) {
      throw new RuntimeError('failed-precondition', 'larger than any such file');
    }
    return { path, name, content: await parse(text, name) };
  } catch (cause) {
    // Taken away since the directory was read.
    if (isMissing(cause)) {
      return undefined;
    }
    const fault = new RuntimeError('failed-precondition', path, { cause });
    return { path, name, content: undefined, fault };
  }
}

async function parse(text: string, name: string): Promise<unknown> {
  if (name.endsWith('.json')) {
    return JSON.parse(text) as unknown;
  }
  // Few nodes have such files: the parser is loaded where there is one.
  const yaml = await import('yaml');
  return yaml.parse(text, { maxAliasCount: 100 }) as unknown;
}
