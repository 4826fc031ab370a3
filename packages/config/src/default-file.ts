import { type ConfigKey, configKeys } from './config-keys.ts';

const width = 100;

/** The whole config file with its defaults and a comment on each key. Reads back as just the defaults. */
export function defaultConfigToml(): string {
  const keys = configKeys();
  const out = [
    '# The config of Gantry, with the default of every key. A file needs only the keys that differ.',
    '',
    ...keys.filter((key) => key.keys === undefined).flatMap(valueLines),
  ];
  for (const table of keys.filter((key) => key.keys !== undefined)) {
    out.push(...(table.type === 'tables' ? recordLines(table) : tableLines(table)));
  }
  return `${out.join('\n').trimEnd()}\n`;
}

function recordLines(record: ConfigKey): string[] {
  const tables = record.keys ?? [];
  return [
    ...comment(record.description ?? ''),
    ...tables.flatMap((table, i) => tableLines(table, i === 0)),
  ];
}

/** The comments of a second table of the same kind would say nothing new. */
function tableLines(table: ConfigKey, isCommented = true): string[] {
  const keys = table.keys ?? [];
  const values = keys.filter((key) => key.keys === undefined);
  const lines = isCommented ? values.flatMap(valueLines) : values.map(assignment);
  const name = `[${table.path.map(tomlKey).join('.')}]`;
  return [
    ...(table.description === undefined ? [] : comment(table.description)),
    ...(table.isExample === true ? [name, ...lines].map(commentedOut) : [name, ...lines]),
    ...(isCommented ? [] : ['']),
    ...keys
      .filter((key) => key.keys !== undefined)
      .flatMap((key) => (key.type === 'tables' ? recordLines(key) : tableLines(key))),
  ];
}

function commentedOut(line: string): string {
  return line === '' || line.startsWith('#') ? line : `# ${line}`;
}

/** A key of TOML in quotes where it needs them. */
function tomlKey(name: string): string {
  return /^[\w-]+$/.test(name) ? name : JSON.stringify(name);
}

function valueLines(key: ConfigKey): string[] {
  const isChoice = key.type.startsWith('"') && key.type.includes(', ');
  const choice = isChoice ? ` One of ${key.type}.` : '';
  return [...comment(`${key.description ?? ''}${choice}`), assignment(key), ''];
}

function assignment(key: ConfigKey): string {
  return `${key.name} = ${tomlValue(key.default)}`;
}

/** Strings, numbers, booleans and lists of them are written in TOML as in JSON. */
export function tomlValue(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(tomlValue).join(', ')}]` : JSON.stringify(value);
}

function comment(text: string): string[] {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > width) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
