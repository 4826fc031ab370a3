import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { supports } from './handler-features.ts';
import { gatherHostFacts } from './host-facts.ts';

test('the facts of this host are those of its kernel and of our rights', async () => {
  const facts = await gatherHostFacts({ selinux: false });
  assert.ok(facts.kernel.major >= 4);
  assert.ok([1, 2].includes(facts.cgroupVersion));
  assert.ok(facts.maxOpenFiles >= 1024);
  const may = facts.capabilities.includes('CAP_SYS_RESOURCE');
  const own = Number(await readFile('/proc/self/oom_score_adj', 'utf8'));
  assert.equal(facts.lowestOomScoreAdj, may ? -1000 : own);
});

const handler = {
  name: 'runc',
  path: '/runc',
  systemdCgroup: false,
  privilegedWithoutHostDevices: false,
};

test('a handler can do what its features say, and nothing where it has none', () => {
  const features = {
    mountOptions: ['ro', 'rro'],
    linux: { mountExtensions: { idmap: { enabled: true } } },
  };
  assert.equal(supports({ ...handler, features }, 'rro'), true);
  assert.equal(supports({ ...handler, features }, 'idmap'), true);
  assert.equal(supports({ ...handler, features: { mountOptions: ['ro'] } }, 'rro'), false);
  assert.equal(supports({ ...handler, features: { linux: null } }, 'idmap'), false);
  assert.equal(supports({ ...handler, features: 'nonsense' }, 'rro'), false);
  assert.equal(supports(handler, 'rro'), false);
});
