import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostFigures } from './figures.ts';
import { parseNetworkDevices } from './network-devices.ts';

const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 10986472503 1856082    0    0    0     0          0         0 10986472503 1856082    0    0    0     0       0          0
  eth0:2450201551   72819    5    0    0     0          0         0  9043485   56080    6    0    0     0       0          0
eth0:1: 7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0
 broken: 1 2
`;

test('every interface but the loopback is read, whatever stands around its colon', () => {
  assert.deepEqual(parseNetworkDevices(text), [
    {
      name: 'eth0',
      rxBytes: 2450201551n,
      rxPackets: 72819n,
      rxErrors: 5n,
      rxDropped: 0n,
      txBytes: 9043485n,
      txPackets: 56080n,
      txErrors: 6n,
      txDropped: 0n,
    },
    {
      name: 'eth0:1',
      rxBytes: 7n,
      rxPackets: 1n,
      rxErrors: 0n,
      rxDropped: 0n,
      txBytes: 8n,
      txPackets: 1n,
      txErrors: 0n,
      txDropped: 0n,
    },
  ]);
});

test('the interfaces of a process are read; one that is gone has none', async () => {
  const figures = hostFigures({ readInNetns: () => Promise.resolve(undefined) });
  assert.ok(Array.isArray(await figures.networkDevices(process.pid)));
  // Beyond the largest pid that Linux gives.
  assert.equal(await figures.networkDevices(4_194_305), undefined);
});
