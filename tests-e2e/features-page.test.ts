import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ImageService, RuntimeService } from '@gantry/proto';

const root = dirname(import.meta.dirname);
const page = readFileSync(join(root, 'docs/features.md'), 'utf8');
const rows = page.split('\n').filter((line) => /^\| (?!---)/.test(line));

const directories: Readonly<Record<string, string>> = {
  'oci-spec': 'packages/oci-spec/src',
  sandbox: 'apps/sandbox-service/src',
  image: 'apps/image-service/src',
  stream: 'apps/stream-server/src',
  host: 'packages/host/src',
  rpc: 'packages/rpc/src',
};

/** Where a test of the page lies: in a directory that it has a short name for, or here. */
function pathOf(name: string): string {
  const [first = '', ...rest] = name.split('/');
  const directory = directories[first];
  return directory === undefined ? join(root, 'tests-e2e', name) : join(root, directory, ...rest);
}

test('every test that docs/features.md names exists', () => {
  const names = rows.flatMap((row) =>
    [...row.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, name = '']) => name),
  );
  assert.ok(names.length > 100);
  assert.deepEqual(
    [...new Set(names)].filter((name) => !existsSync(pathOf(name))),
    [],
  );
});

test('docs/features.md speaks of every RPC of the CRI', () => {
  const first = rows.map((row) => row.split('|')[1] ?? '').join(' ');
  const methods = [...RuntimeService.methods, ...ImageService.methods].map(({ name }) => name);
  assert.ok(methods.length > 40);
  assert.deepEqual(
    methods.filter((name) => !new RegExp(`\\b${name}\\b`).test(first)),
    [],
  );
});

test('a row that claims something names what shows it', () => {
  const bare = rows.filter((row) => {
    const [, , claim = '', tests = ''] = row.split('|').map((cell) => cell.trim());
    return /^(yes|units)/.test(claim) && tests === '';
  });
  assert.deepEqual(bare, []);
});
