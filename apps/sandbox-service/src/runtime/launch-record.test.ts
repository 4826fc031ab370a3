import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LaunchRecords } from './launch-record.ts';

async function recordsIn(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-launches-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return { dir, records: new LaunchRecords(dir) };
}

test('a record is read as it was written, and is gone after its removal', async (t) => {
  const { dir, records } = await recordsIn(t);
  const record = { id: 'c1', handler: 'runc', bundleDir: '/b', cgroupPath: '/x', ownPids: true };
  await records.write(record);
  assert.deepEqual(records.read('c1'), record);
  records.remove('c1');
  assert.equal(records.read('c1'), undefined);
  assert.deepEqual(await readdir(dir), []);
});

const foreign: Record<string, { readonly text: string; readonly read: object | undefined }> = {
  'of an older version, which knew fewer fields': {
    text: '{"id":"c1","handler":"runc","bundleDir":"/b","cgroupPath":"/x"}',
    read: { id: 'c1', handler: 'runc', bundleDir: '/b', cgroupPath: '/x', ownPids: false },
  },
  'of a newer version, with a field and a type that are unknown here': {
    text: '{"id":"c1","handler":"runc","bundleDir":"/b","ownPids":"some","more":[1]}',
    read: { id: 'c1', handler: 'runc', bundleDir: '/b', ownPids: false },
  },
  'without the names of anything': {
    text: '{"cgroupPath":"/x"}',
    read: { id: 'c1', handler: '', cgroupPath: '/x', ownPids: false },
  },
  'that is empty': { text: '', read: undefined },
  'that was cut off': { text: '{"id":"c1","hand', read: undefined },
  'that is no object': { text: '"c1"', read: undefined },
};
for (const [name, { text, read }] of Object.entries(foreign)) {
  test(`a record ${name} blocks nothing`, async (t) => {
    const { dir, records } = await recordsIn(t);
    await writeFile(join(dir, 'c1.json'), text);
    assert.deepEqual(records.read('c1'), read);
    await records.write({ id: 'c2', handler: 'runc', bundleDir: '/b', ownPids: true });
    const own = read !== undefined && 'handler' in read && read.handler === 'runc' ? ['c1'] : [];
    assert.deepEqual(records.idsOf('runc').sort(), [...own, 'c2']);
  });
}
