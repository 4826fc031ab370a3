import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { TemporarySpace } from './temporary-space.ts';

async function openSpace(t: TestContext): Promise<{ space: TemporarySpace; dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-temporary-'));
  const space = await TemporarySpace.open(join(dir, 'tmp'));
  t.after(async () => {
    await space[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  return { space, dir };
}

test('what is not moved away is gone when it is disposed of', async (t) => {
  const { space } = await openSpace(t);
  const places = [await space.directory(), space.directoryApart()];
  for (const place of places) {
    writeFileSync(join(place.path, 'file'), 'x');
    await place[Symbol.asyncDispose]();
    assert.equal(existsSync(place.path), false);
  }
});

test('what is moved away stays, even where something new has its former name', async (t) => {
  const { space, dir } = await openSpace(t);
  const place = space.file();
  writeFileSync(place.path, 'kept');
  await place.moveTo(join(dir, 'kept'));
  writeFileSync(place.path, 'of somebody else');
  await place[Symbol.asyncDispose]();
  assert.equal(readFileSync(join(dir, 'kept'), 'utf8'), 'kept');
  assert.equal(readFileSync(place.path, 'utf8'), 'of somebody else');
});

test('what could not be moved is removed', async (t) => {
  const { space, dir } = await openSpace(t);
  const place = await space.directory();
  await assert.rejects(place.moveTo(join(dir, 'no/such/place')), { code: 'ENOENT' });
  await place[Symbol.asyncDispose]();
  assert.equal(existsSync(place.path), false);
});
