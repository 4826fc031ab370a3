import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { kindOf } from '@gantry/errors';
import { DeviceSchema } from '@gantry/proto';
import { devicesBelow, resolveDevice } from './host-devices.ts';

const device = (hostPath: string, more: object = {}) =>
  resolveDevice(create(DeviceSchema, { hostPath, containerPath: '/dev/x', ...more }));

test('a device is told by its numbers, under the path that it gets', async () => {
  const [node] = await device('/dev/null', { permissions: 'rw' });
  assert.deepEqual(
    [node?.device.path, node?.device.type, node?.device.major, node?.device.minor],
    ['/dev/x', 'c', 1, 3],
  );
  assert.equal(node?.permissions, 'rw');
});

test('without permissions a device may be read, written and made', async () => {
  const [node] = await device('/dev/zero');
  assert.equal(node?.permissions, 'rwm');
});

test('what is missing, relative or no device is refused by name', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'devices-'));
  t.after(() => rm(base, { recursive: true }));
  await writeFile(join(base, 'file'), '');
  await symlink('/dev/null', join(base, 'link'));
  for (const path of ['dev/null', '/dev/no-such-device', join(base, 'file')]) {
    await assert.rejects(device(path), (error) => {
      assert.equal(kindOf(error), 'invalid-argument');
      assert.match(String(error), new RegExp(path));
      return true;
    });
  }
  assert.equal((await device(join(base, 'link'))).at(0)?.device.minor, 3);
});

test('a directory stands for the devices in it, and terminals are left out', async () => {
  const paths = (await devicesBelow('/dev')).map((node) => node.path);
  assert.ok(paths.includes('/dev/null'));
  assert.ok(!paths.some((path) => path.startsWith('/dev/pts/') || path === '/dev/console'));
});
