// The wrong requests for pods of bad-input-requests.test.ts again, for pods that have no pause container.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultsOf } from './bad-input/bad-request.ts';
import { startFixture } from './bad-input/fixture.ts';
import { podRequests } from './bad-input/pods.ts';
import { hostOf, leaks } from './harness/host.ts';

process.env['GANTRY_E2E_INFRA'] = 'none';

test('wrong requests of runPodSandbox are refused in the same words and change nothing', async () => {
  await using fixture = await startFixture();
  assert.equal(fixture.stack.infra, 'none');
  const host = await hostOf(fixture.stack);
  const faults: string[] = [];
  for (const row of podRequests.filter(({ rpc }) => rpc === 'runPodSandbox')) {
    faults.push(...(await faultsOf(row, fixture)));
  }
  assert.deepEqual([...faults, ...leaks(host, await hostOf(fixture.stack))], []);
});
