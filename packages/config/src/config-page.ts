import { type ConfigKey, configKeys } from './config-keys.ts';
import { tomlValue } from './default-file.ts';

/** docs/config.md: every key with its type, its default and its sentence. */
export function configPage(): string {
  const keys = configKeys();
  const sections = keys.filter((key) => key.keys !== undefined);
  return [
    '# Config',
    '',
    'Generated from the schema by `gantry config docs`: change the schema in `packages/config/src`.',
    '',
    'The file is TOML: `/etc/gantry/config.toml` unless `--config` names another. It needs only the keys that differ from',
    'the defaults; an unknown key is an error, and every fault is told at once. `gantry config default` prints this as a file;',
    '`gantry config import /etc/containerd/config.toml` translates the one of containerd 1.x or 2.x; `gantry config check` tells the',
    'faults of a file. It is read when the services start: a change counts after `gantry down` and `gantry up`, and pods run on meanwhile.',
    '',
    ...table(keys.filter((key) => key.keys === undefined)),
    ...sections.flatMap(section),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

function section(key: ConfigKey): string[] {
  const isRecord = key.type === 'tables';
  const title = isRecord ? `${key.path.join('.')}.<name>` : key.path.join('.');
  const keys = (isRecord ? key.keys?.[0]?.keys : key.keys) ?? [];
  return [
    `## [${title}]`,
    '',
    key.description ?? '',
    ...(isRecord ? ['', byDefault(key.keys ?? [])] : []),
    '',
    ...table(keys.filter((k) => k.keys === undefined)),
    ...keys.filter((k) => k.keys !== undefined).flatMap(section),
  ];
}

function byDefault(tables: readonly ConfigKey[]): string {
  const names = tables.filter((t) => t.isExample !== true).map((t) => `\`${t.name}\``);
  return names.length === 0 ? 'By default there is none.' : `By default: ${names.join(', ')}.`;
}

function table(keys: readonly ConfigKey[]): string[] {
  if (keys.length === 0) {
    return [];
  }
  const rows = keys.map((key) => [
    `\`${key.name}\``,
    cell(key.type),
    `\`${tomlValue(key.default)}\``,
    cell(key.description ?? ''),
  ]);
  return [...alignedTable(['key', 'type', 'default', 'meaning'], rows), ''];
}

/** As the formatter would write it. */
function alignedTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((name, i) =>
    Math.max(3, name.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}

function cell(text: string): string {
  return text.replaceAll('|', String.raw`\|`).replaceAll('<', '&lt;');
}
