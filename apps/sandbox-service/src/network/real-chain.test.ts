import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '@gantry/host';

test('the plugins of the distribution work end to end', async (t) => {
  const inner = fileURLToPath(new URL('real-chain.inner.ts', import.meta.url));
  const node = [process.execPath, '--test', '--test-isolation=none', '--test-timeout=60000', inner];
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const result = await run('unshare', ['--net', '--mount', '--', ...node], {
    env,
    signal: t.signal,
    killGroup: true,
  });
  const output = result.stdout.toString();
  assert.equal(result.exitCode, 0, output + result.stderr.toString());
  assert.match(output, /pass 1\b/);
});
