import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAtLeast, parseNetworkConfig } from './network-config.ts';

test('a list is taken as it is, with the keys of its plugins', () => {
  const plugins = [
    { type: 'bridge', bridge: 'b0', ipam: { type: 'host-local' } },
    { type: 'portmap', capabilities: { portMappings: true } },
  ];
  const parsed = parseNetworkConfig({
    cniVersion: '1.0.0',
    name: 'n',
    plugins,
    disableCheck: true,
  });
  assert.deepEqual(parsed, { cniVersion: '1.0.0', name: 'n', plugins });
});

test('a single plugin becomes a list of one', () => {
  const parsed = parseNetworkConfig({ cniVersion: '0.4.0', name: 'n', type: 'bridge', mtu: 1400 });
  assert.deepEqual(parsed, {
    cniVersion: '0.4.0',
    name: 'n',
    plugins: [{ type: 'bridge', mtu: 1400 }],
  });
});

test('what is recorded of a configuration is read again as the same', () => {
  const parsed = parseNetworkConfig({ name: 'n', type: 'bridge' });
  assert.deepEqual(parseNetworkConfig(JSON.parse(JSON.stringify(parsed))), parsed);
});

test('a fault names its place', () => {
  const table: readonly [unknown, RegExp][] = [
    [{ cniVersion: '1.0.0', plugins: [{ type: 'x' }] }, /name/],
    [{ name: 'n', plugins: [] }, /plugins: must name at least one plugin/],
    [{ name: 'n', plugins: [{ bridge: 'b' }] }, /plugins\.0\.type/],
    [{ name: 'n', cniVersion: '9.0.0', plugins: [{ type: 'x' }] }, /cniVersion 9\.0\.0/],
    [{ name: 'n', plugins: [{ type: '../evil' }] }, /"\.\.\/evil" is a path/],
    [[], /plugins/],
    ['text', /Invalid type/],
  ];
  for (const [data, message] of table) {
    assert.throws(() => parseNetworkConfig(data), { kind: 'failed-precondition', message });
  }
});

test('versions compare by number', () => {
  assert.equal(isAtLeast('0.4.0', '0.4.0'), true);
  assert.equal(isAtLeast('1.0.0', '0.4.0'), true);
  assert.equal(isAtLeast('0.10.0', '0.4.0'), true);
  assert.equal(isAtLeast('0.3.1', '0.4.0'), false);
});
