import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import { failureText } from './failure.ts';

const error = new RuntimeError('unavailable', 'start x', { cause: new Error('no such file') });

test('a failure is one line without a stack trace', () => {
  assert.equal(failureText(error, {}), 'gantry: start x: no such file\n');
});

test('GANTRY_DEBUG shows where each error of the chain came from', () => {
  const text = failureText(error, { GANTRY_DEBUG: '1' });
  assert.match(text, /RuntimeError: start x\n\s+at [\s\S]*Error: no such file\n\s+at /);
});
