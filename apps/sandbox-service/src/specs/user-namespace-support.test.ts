import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RuntimeError } from '@gantry/errors';
import { hostWithoutUserNamespaces, withoutUserNamespaces } from './user-namespace-support.ts';

const works = () => Promise.resolve();

for (const { major, minor, needed } of [
  { major: 5, minor: 18, needed: true },
  { major: 4, minor: 20, needed: true },
  { major: 5, minor: 19, needed: false },
  { major: 6, minor: 1, needed: false },
]) {
  test(`Linux ${major}.${minor} ${needed ? 'is too old' : 'has overlays of mapped layers'}`, async () => {
    const reason = await hostWithoutUserNamespaces({ kernel: { major, minor }, tryIdmap: works });
    assert.equal(reason?.startsWith('Linux 5.19 is needed') === true, needed, reason);
  });
}

test('a host that refuses is told in its own words', async () => {
  const tryIdmap = () => Promise.reject(new RuntimeError('failed-precondition', 'no ids left'));
  const kernel = { major: 6, minor: 1 };
  assert.equal(await hostWithoutUserNamespaces({ kernel, tryIdmap }), 'no ids left');
  assert.equal(
    withoutUserNamespaces({ version: 'crun version 1.8' }, 'no ids left'),
    'no ids left',
  );
});

test('a runtime has them when it says so, and crun without a word', () => {
  const features = (namespaces: readonly string[]) => ({ features: { linux: { namespaces } } });
  assert.equal(withoutUserNamespaces(features(['pid', 'user']), undefined), undefined);
  assert.match(withoutUserNamespaces(features(['pid']), undefined) ?? '', /does not say/);
  const crun = { version: 'crun version 1.8.1', features: { mountOptions: ['rro'] } };
  assert.equal(withoutUserNamespaces(crun, undefined), undefined);
  assert.match(withoutUserNamespaces({ version: 'runsc 1' }, undefined) ?? '', /does not say/);
});
