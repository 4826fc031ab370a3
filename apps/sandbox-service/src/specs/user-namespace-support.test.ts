import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
    const reason = await hostWithoutUserNamespaces({
      kernel: { major, minor },
      tryIdmap: works,
      stateDir: '/',
    });
    assert.equal(reason?.startsWith('Linux 5.19 is needed') === true, needed, reason);
  });
}

test('a host that refuses is told in its own words', async () => {
  const tryIdmap = () => Promise.reject(new RuntimeError('failed-precondition', 'no ids left'));
  const kernel = { major: 6, minor: 1 };
  assert.equal(await hostWithoutUserNamespaces({ kernel, tryIdmap, stateDir: '/' }), 'no ids left');
  assert.equal(
    withoutUserNamespaces({ version: 'crun version 1.8' }, 'no ids left'),
    'no ids left',
  );
});

test('a directory that others may not pass is told by name', async (t) => {
  const closed = await mkdtemp(join(tmpdir(), 'gantry-closed-'));
  t.after(() => rm(closed, { recursive: true }));
  const stateDir = join(closed, 'run');
  await mkdir(stateDir, { mode: 0o711 });
  const facts = { kernel: { major: 6, minor: 1 }, tryIdmap: works, stateDir };
  assert.match((await hostWithoutUserNamespaces(facts)) ?? '', new RegExp(`${closed}: chmod`));
  await chmod(closed, 0o711);
  assert.equal(await hostWithoutUserNamespaces(facts), undefined);
});

test('a runtime has them when it says so, and crun without a word', () => {
  const features = (namespaces: readonly string[]) => ({ features: { linux: { namespaces } } });
  assert.equal(withoutUserNamespaces(features(['pid', 'user']), undefined), undefined);
  assert.match(withoutUserNamespaces(features(['pid']), undefined) ?? '', /does not say/);
  const crun = { version: 'crun version 1.8.1', features: { mountOptions: ['rro'] } };
  assert.equal(withoutUserNamespaces(crun, undefined), undefined);
  assert.match(withoutUserNamespaces({ version: 'runsc 1' }, undefined) ?? '', /does not say/);
});
