import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { testDir } from '../testing-dir.ts';
import { receiveArchive } from './receive-archive.ts';

const { signal } = new AbortController();

/** What the service does: writes to the socket, then answers. */
function sender(text: string, bytes = BigInt(text.length)) {
  return (socket: string): Promise<{ bytes: bigint }> =>
    new Promise((resolve, reject) => {
      const connection = createConnection({ path: socket });
      connection.on('error', reject);
      connection.end(text, () => resolve({ bytes }));
    });
}

test('an archive is there when it is whole, for its owner alone', async (t) => {
  const file = join(testDir(t), 'archive');
  writeFileSync(file, 'of yesterday');
  const text = 'x'.repeat(1_000_000);
  assert.deepEqual(await receiveArchive(file, signal, sender(text)), { bytes: 1_000_000n });
  assert.equal(readFileSync(file, 'utf8'), text);
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a failure of either side leaves what was there, and is told', async (t) => {
  const directory = testDir(t);
  const file = join(directory, 'archive');
  writeFileSync(file, 'of yesterday');
  const refused = new Error('no such image');
  await assert.rejects(
    receiveArchive(file, signal, () => Promise.reject(refused)),
    refused,
  );
  const dies = async (socket: string): Promise<{ bytes: bigint }> => {
    await sender('half')(socket);
    throw refused;
  };
  await assert.rejects(receiveArchive(file, signal, dies), refused);
  await assert.rejects(receiveArchive(file, signal, sender('short', 6n)), {
    message: 'export: 5 bytes came of 6',
  });
  const leaving = new AbortController();
  const never = (): Promise<{ bytes: bigint }> => {
    leaving.abort(new Error('interrupted'));
    return new Promise((_, reject) => {
      setImmediate(() => reject(new Error('canceled')));
    });
  };
  await assert.rejects(receiveArchive(file, leaving.signal, never), /interrupted/);
  await assert.rejects(receiveArchive(join(directory, 'no/where'), signal, sender('x')), {
    kind: 'failed-precondition',
    message: /^export: write .*no\/where: ENOENT/,
  });
  assert.deepEqual(readdirSync(directory), ['archive']);
  assert.equal(readFileSync(file, 'utf8'), 'of yesterday');
});
