import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineOfKey } from './line-of-key.ts';

test('a key is found at its line, or at that of what it stands in', () => {
  const text = [
    'root_dir = "/a"',
    '[nats] # of the node',
    '  port = 1',
    '[[images.credentials]]',
    'username = "u"',
    '[runtimes."a.b"]',
    "'path' = '/x'",
    '[services]',
    'replicas = { stream-server = 2 }',
    '[pods]',
    'hooks_dirs = [',
    '  "port = 4",',
    ']',
    "note = '''",
    'infra = 1',
    "'''",
    'infra = "none"',
  ].join('\n');
  const table: readonly (readonly [string, readonly string[], number | undefined])[] = [
    ['a key of no table', ['root_dir'], 1],
    ['a table', ['nats'], 2],
    ['a key of a table', ['nats', 'port'], 3],
    ['a key that is not there: its table', ['nats', 'url'], 2],
    ['a table of tables', ['images', 'credentials', 'username'], 5],
    ['quotes', ['runtimes', 'a.b', 'path'], 7],
    ['on one line', ['services', 'replicas', 'stream-server'], 9],
    ['not in a list', ['pods', 'port'], 10],
    ['not in a string of several lines', ['pods', 'infra'], 17],
    ['nothing of it', ['grpc', 'socket'], undefined],
  ];
  for (const [what, path, line] of table) {
    assert.equal(lineOfKey(text, path), line, what);
  }
});
