import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeStatus, statusIn } from './command-status.ts';

const v4 = 'v4.channel.k8s.io';

describe('the status', () => {
  it('is what kubelets and client-go read since v4', () => {
    assert.deepEqual(JSON.parse(encodeStatus(v4, { success: true })), {
      metadata: {},
      status: 'Success',
    });
    assert.equal(encodeStatus(v4, { exitCode: 0 }), encodeStatus(v4, { success: true }));
    const failed = JSON.parse(encodeStatus('v5.channel.k8s.io', { exitCode: 137 })) as object;
    assert.deepEqual(failed, {
      metadata: {},
      status: 'Failure',
      message: 'command terminated with non-zero exit code: exit code 137',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '137' }] },
    });
  });

  it('is a text, and only of a failure, before v4', () => {
    for (const old of ['channel.k8s.io', 'v2.channel.k8s.io', 'v3.channel.k8s.io']) {
      assert.equal(encodeStatus(old, { success: true }), '');
      assert.match(encodeStatus(old, { exitCode: 2 }), /exit code 2$/);
      assert.equal(encodeStatus(old, { error: 'x' }), 'Internal error occurred: x');
      assert.deepEqual(statusIn(old, ''), { success: true });
      assert.deepEqual(statusIn(old, 'why'), { error: 'why' });
    }
  });

  for (const [text, status] of [
    ['{"status":"Success"}', { success: true }],
    ['{"metadata":{},"status":"Success"}', { success: true }],
    [
      '{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}',
      { exitCode: 7 },
    ],
    ['{"status":"Failure","message":"no shell","code":500}', { error: 'no shell' }],
    ['not json', { error: 'not json' }],
    ['null', { error: 'null' }],
    [
      '{"status":"Failure","message":"m","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"x"}]}}',
      { error: 'm' },
    ],
  ] as const) {
    it(`is read from ${text}`, () => assert.deepEqual(statusIn(v4, text), status));
  }

  it('is missed when the connection ends without one', () => {
    assert.throws(() => statusIn(v4, ''), { kind: 'unavailable' });
  });
});
