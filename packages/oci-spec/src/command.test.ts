import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandOf, workingDirOf } from './command.ts';

const cases: readonly [
  command: string[],
  args: string[],
  entrypoint: string[],
  cmd: string[],
  expected: string[],
][] = [
  [[], [], ['ep'], ['cmd'], ['ep', 'cmd']],
  [[], ['a'], ['ep'], ['cmd'], ['ep', 'a']],
  [['c'], [], ['ep'], ['cmd'], ['c']],
  [['c'], ['a'], ['ep'], ['cmd'], ['c', 'a']],
  [[], [], [], ['cmd', 'x'], ['cmd', 'x']],
  [[], [], ['ep'], [], ['ep']],
  [[], ['a'], [], [], ['a']],
  [[], [], [''], ['cmd'], ['cmd']],
];
for (const [command, args, entrypoint, cmd, expected] of cases) {
  test(`${JSON.stringify({ command, args, entrypoint, cmd })} runs ${expected.join(' ')}`, () => {
    assert.deepEqual(commandOf({ command, args }, { entrypoint, cmd }), expected);
  });
}

test('nothing to run is refused', () => {
  assert.throws(() => commandOf({ command: [], args: [] }, { entrypoint: [''], cmd: [] }), {
    kind: 'invalid-argument',
    message: 'no command specified',
  });
});

test('a zero byte in an argument is refused', () => {
  assert.throws(
    () => commandOf({ command: ['a', 'b\0c'], args: [] }, { entrypoint: [], cmd: [] }),
    {
      kind: 'invalid-argument',
    },
  );
});

test('the directory is the request’s, the image’s, or the root', () => {
  assert.equal(workingDirOf({ workingDir: '/a' }, { workingDir: '/b' }), '/a');
  assert.equal(workingDirOf({ workingDir: '' }, { workingDir: 'b/../c' }), '/c');
  assert.equal(workingDirOf({ workingDir: '' }, { workingDir: '' }), '/');
});
