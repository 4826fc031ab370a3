import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { runPod, startAlone } from '../testing.ts';

test('without the sandbox image that gantry makes, a pod says who makes it, and leaves nothing', async (t) => {
  const service = await startAlone(t);
  service.node.host.images.delete('localhost/gantry/pause:1');
  await assert.rejects(runPod(service), (error: Error) => {
    assert.match(
      messageOf(error),
      /root: sandbox image localhost\/gantry\/pause:1 .*gantry up makes it/,
    );
    return isKind(error, 'not-found');
  });
  assert.deepEqual(service.node.host.leftovers(), []);
});
