import assert from 'node:assert/strict';
import { test } from 'node:test';
import { processFile } from './process-file.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('everything of the container’s process but its arguments and terminal is inherited', () => {
  const inherited = {
    user: { uid: 7, gid: 8, additionalGids: [9] },
    env: ['A=b'],
    cwd: '/srv',
    capabilities: { bounding: ['CAP_KILL'] },
    noNewPrivileges: true,
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }],
    apparmorProfile: 'strict',
    selinuxLabel: 'label',
    somethingNewer: 1,
  };
  const process = {
    ...inherited,
    args: ['/bin/app'],
    terminal: true,
    consoleSize: { height: 1, width: 2 },
  };
  assert.deepEqual(JSON.parse(processFile(bytes(JSON.stringify(process)), ['ls', '-l'])), {
    ...inherited,
    args: ['ls', '-l'],
    terminal: false,
  });
});

test('with a terminal there is a TERM, the container’s own if it has one', () => {
  const environmentOf = (env: string[]): unknown => {
    const file = processFile(bytes(JSON.stringify({ env })), ['sh'], true);
    const { terminal, env: seen } = JSON.parse(file) as { terminal: boolean; env: string[] };
    assert.equal(terminal, true);
    return seen;
  };
  assert.deepEqual(environmentOf(['A=b']), ['A=b', 'TERM=xterm']);
  assert.deepEqual(environmentOf(['TERM=vt100']), ['TERM=vt100']);
});

for (const text of ['', '[]', 'null', '"x"']) {
  test(`a process of ${text || 'nothing'} is refused`, () => {
    assert.throws(() => processFile(bytes(text), ['ls']), { kind: 'internal' });
  });
}
