import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { type ConfigKey, configKeys } from './config-keys.ts';
import { configPage } from './config-page.ts';
import { defaultConfigToml } from './default-file.ts';
import { parseConfig } from './parse-config.ts';
import { configSchema } from './schema.ts';

function* leaves(keys: readonly ConfigKey[]): Iterable<ConfigKey> {
  for (const key of keys) {
    if (key.keys === undefined) {
      yield key;
    } else {
      yield* leaves(key.keys);
    }
  }
}

test('every key has a sentence', () => {
  for (const key of [...leaves(configKeys()), ...configKeys()]) {
    assert.match(key.description ?? '', /^[A-Z].*\.$/s, `${key.path.join('.')}: described('...')`);
  }
});

test('the walk finds every key of the defaults', () => {
  const found = [...leaves(configKeys())]
    .map((key) => key.path.join('.'))
    // Of a table of which there is none by default only the form is told.
    .filter((path) => !path.includes('.<name>.'));
  const there = pathsOf(parseConfig(configSchema, {}));
  assert.deepEqual(found.sort(), there.sort());
});

function pathsOf(value: unknown, path: readonly string[] = []): string[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.entries(value).flatMap(([k, v]) => pathsOf(v, [...path, k]))
    : [path.join('.')];
}

test('the printed file reads back as just the defaults', () => {
  const text = defaultConfigToml();
  assert.deepEqual(parseConfig(configSchema, parse(text)), parseConfig(configSchema, {}));
});

test('the printed file comments on each value and keeps its lines short', () => {
  const lines = defaultConfigToml().split('\n');
  for (const [i, line] of lines.entries()) {
    assert.ok(line.length <= 100 || line.includes('"'), line);
    // The second runtime has the keys of the first.
    if (line.includes(' = ') && !line.startsWith('#') && !afterTable(lines, i, '[runtimes.crun]')) {
      assert.match(lines[i - 1] ?? '', /^# /, line);
    }
  }
});

function afterTable(lines: readonly string[], at: number, table: string): boolean {
  const last = lines.slice(0, at).findLast((line) => line.startsWith('['));
  return last === table;
}

test('docs/config.md is what the schema says: gantry config docs > docs/config.md', () => {
  const file = join(import.meta.dirname, '../../../docs/config.md');
  assert.equal(readFileSync(file, 'utf8'), configPage());
});
