import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Asker, KnownAnswers } from './known-answers.ts';

const user = { username: 'u', password: 'p', identityToken: '', registryToken: '' };
const asker: Asker = {
  base: new URL('https://r.example/v2'),
  repository: 'app',
  credentials: user,
};

test('an answer is for its endpoint, repository and credentials alone', () => {
  const known = new KnownAnswers(() => 0);
  known.remember(asker, 'Bearer abc', 60_000);
  assert.equal(known.find({ ...asker }), 'Bearer abc');
  const others: Partial<Asker>[] = [
    { base: new URL('http://r.example/v2') },
    { repository: 'app2' },
    { credentials: undefined },
    { credentials: { ...user, password: 'P' } },
  ];
  for (const other of others) {
    assert.equal(known.find({ ...asker, ...other }), undefined);
  }
  known.forget(asker);
  assert.equal(known.find(asker), undefined);
});

test('an answer is used until shortly before it ends, and for five minutes at most', () => {
  let now = 0;
  const known = new KnownAnswers(() => now);
  known.remember(asker, 'Bearer abc', 60_000);
  now = 49_999;
  assert.equal(known.find(asker), 'Bearer abc');
  now = 50_000;
  assert.equal(known.find(asker), undefined);
  known.remember(asker, 'Bearer day', 86_400_000);
  now += 299_999;
  assert.equal(known.find(asker), 'Bearer day');
  now += 1;
  assert.equal(known.find(asker), undefined);
  known.remember(asker, 'Bearer none', 0);
  assert.equal(known.find(asker), undefined);
});

test('no more than a thousand are kept, the newest', () => {
  const known = new KnownAnswers(() => 0);
  for (let i = 0; i <= 1000; i++) {
    known.remember({ ...asker, repository: `app-${i}` }, String(i), 60_000);
  }
  assert.equal(known.find({ ...asker, repository: 'app-0' }), undefined);
  assert.equal(known.find({ ...asker, repository: 'app-1' }), '1');
  assert.equal(known.find({ ...asker, repository: 'app-1000' }), '1000');
});
