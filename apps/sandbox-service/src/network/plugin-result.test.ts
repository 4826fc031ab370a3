import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipsOf } from './plugin-result.ts';

const interfaces = [
  { name: 'cni0', mac: '00:00:00:00:00:01' },
  { name: 'veth1' },
  { name: 'eth0', sandbox: '/run/netns/a' },
];

test('only the addresses of the pod interface count, in their order', () => {
  const ips = [
    { address: '10.1.0.1/24', interface: 0 },
    { version: '4', address: '10.1.0.7/24', interface: 2 },
    { version: '6', address: 'fd00::7/64', interface: 2 },
  ];
  assert.deepEqual(ipsOf({ cniVersion: '0.4.0', interfaces, ips }, 'eth0'), [
    '10.1.0.7',
    'fd00::7',
  ]);
});

test("addresses without an interface are the pod's", () => {
  assert.deepEqual(ipsOf({ cniVersion: '1.0.0', ips: [{ address: '10.1.0.7/24' }] }, 'eth0'), [
    '10.1.0.7',
  ]);
});

test('results of 0.2.0 have one address of each family', () => {
  assert.deepEqual(ipsOf({ ip4: { ip: '10.1.0.7/24' }, ip6: { ip: 'fd00::7/64' } }, 'eth0'), [
    '10.1.0.7',
    'fd00::7',
  ]);
});

test('a result that is none of CNI is told', () => {
  for (const data of [undefined, 'hello', { ips: 'x' }, { ips: [{}] }]) {
    assert.throws(() => ipsOf(data, 'eth0'), /result is not one of CNI/);
  }
});
