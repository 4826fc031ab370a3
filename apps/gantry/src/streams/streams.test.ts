import assert from 'node:assert/strict';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { DetachKeys } from './detach-keys.ts';
import { parsePortPair } from './port-pairs.ts';

test('ports are given as LOCAL:REMOTE, REMOTE or :REMOTE', () => {
  assert.deepEqual(parsePortPair('8080:80'), { local: 8080, remote: 80 });
  assert.deepEqual(parsePortPair('80'), { local: 80, remote: 80 });
  assert.deepEqual(parsePortPair(':80'), { local: 0, remote: 80 });
  for (const wrong of ['', ':', '80:', '0', '70000', '70000:1', 'http', '1:2:3', '-1', '8.0']) {
    assert.throws(() => parsePortPair(wrong), { kind: 'invalid-argument' }, wrong);
  }
});

for (const [typed, passed, detaches] of [
  [['abc'], 'abc', false],
  [['a\x10', '\x11b'], 'a', true],
  [['a\x10\x11b'], 'a', true],
  [['\x10', 'x\x10\x10y'], '\x10x\x10\x10y', false],
  [['\x11\x10'], '\x11\x10', false],
] as const) {
  test(`of ${JSON.stringify(typed)} ${JSON.stringify(passed)} is passed on`, async () => {
    let isDetached = false;
    const keys = new DetachKeys(() => {
      isDetached = true;
    });
    for (const chunk of typed) {
      keys.write(chunk);
    }
    keys.end();
    const through = await text(keys);
    assert.deepEqual([through, isDetached], [passed, detaches]);
  });
}
