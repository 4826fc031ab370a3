import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DefinedPlugin } from '@gantry/nri';
import { auditor } from './auditor.ts';
import { cpuPinner } from './cpu-pinner.ts';
import { deviceInjector } from './device-injector.ts';

type Create = NonNullable<DefinedPlugin['handlers']['createContainer']>;

const create = (plugin: DefinedPlugin, name: string, annotations: Record<string, string>) =>
  plugin.handlers.createContainer?.(
    { annotations } as Parameters<Create>[0],
    { name } as Parameters<Create>[1],
  );

test('the pinner takes the list of the container before that of the pod', () => {
  const annotations = {
    'pin.example.com/cpus': '0-3',
    'pin.example.com/cpus.db': '4,6-7',
    'pin.example.com/mems.db': '1',
  };
  assert.deepEqual(create(cpuPinner, 'web', annotations), { limits: { cpus: '0-3' } });
  assert.deepEqual(create(cpuPinner, 'db', annotations), { limits: { cpus: '4,6-7', mems: '1' } });
  assert.equal(create(cpuPinner, 'web', {}), undefined);
  for (const list of ['', 'all', '0-', '1,,2', '0; rm -rf /']) {
    assert.throws(
      () => create(cpuPinner, 'web', { 'pin.example.com/cpus': list }),
      /is not a list/,
    );
  }
});

test('the injector tells devices of this host by their numbers', async () => {
  const key = 'inject.example.com/devices';
  const result = await create(deviceInjector, 'c', { [key]: '/dev/null, /dev/full' });
  assert.deepEqual(
    result?.devices?.map(({ path, type, major, minor }) => [path, type, major, minor]),
    [
      ['/dev/null', 'c', 1, 3],
      ['/dev/full', 'c', 1, 7],
    ],
  );
  assert.equal(await create(deviceInjector, 'c', {}), undefined);
  await assert.rejects(async () => create(deviceInjector, 'c', { [key]: '/etc/passwd' }), {
    message: /\/etc\/passwd is not a device/,
  });
});

test('the auditor writes one line of JSON for each event', async () => {
  const lines: string[] = [];
  const { handlers } = auditor((line) => lines.push(line));
  const pod = { id: 'p', name: 'web', namespace: 'default' };
  const args = [pod, { id: 'c', name: 'main' }] as unknown as Parameters<Create>;
  await handlers.postStartContainer?.(...args);
  await handlers.stopContainer?.(...args);
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { event: string }).event),
    ['container-started', 'container-stopped'],
  );
  assert.ok(lines.every((line) => line.endsWith('}\n')));
});
