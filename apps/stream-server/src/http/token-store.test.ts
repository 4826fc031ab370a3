import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxTokens, TokenStore, tokenLifeMs } from './token-store.ts';

function setUp() {
  let nowMs = 0;
  const store = new TokenStore<string>(() => nowMs);
  return {
    store,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

test('a token is good once', () => {
  const { store } = setUp();
  const token = store.add('exec', 'a');
  assert.equal(store.take('exec', token), 'a');
  assert.equal(store.take('exec', token), undefined);
});

test('a token is used up by a request of another kind', () => {
  const { store } = setUp();
  const token = store.add('attach', 'a');
  assert.equal(store.take('exec', token), undefined);
  assert.equal(store.take('attach', token), undefined);
});

test('a token lives for a minute', () => {
  const { store, pass } = setUp();
  const [first, second] = [store.add('exec', 'a'), store.add('exec', 'b')];
  pass(tokenLifeMs - 1);
  assert.equal(store.take('exec', first), 'a');
  pass(1);
  assert.equal(store.take('exec', second), undefined);
});

test('tokens have 128 bits and are never alike', () => {
  const { store } = setUp();
  const tokens = Array.from({ length: maxTokens }, () => store.add('exec', 'a'));
  assert.equal(new Set(tokens).size, maxTokens);
  for (const token of tokens) {
    assert.match(token, /^[\w-]{22}$/);
  }
});

test('a thousand may wait; used and old ones make room', () => {
  const { store, pass } = setUp();
  const [first = ''] = Array.from({ length: maxTokens }, () => store.add('exec', 'a'));
  assert.throws(() => store.add('exec', 'b'), {
    kind: 'resource-exhausted',
    message: /maximum number of in-flight requests exceeded/,
  });
  store.take('exec', first);
  store.add('exec', 'b');
  assert.throws(() => store.add('exec', 'c'), { kind: 'resource-exhausted' });
  pass(tokenLifeMs);
  store.add('exec', 'd');
});
