import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { LayerSpec } from '../ports.ts';
import { digestOfBytes } from '../testing/test-image.ts';
import { testLimits } from '../testing/test-limits.ts';
import { unpackStream } from './unpack-stream.ts';
import { WrongBlobError } from './wrong-blob.ts';

const content = Buffer.concat([randomBytes(100_000), Buffer.alloc(1_000_000)]);
const diffId = digestOfBytes(content);
const specOf = (bytes: Buffer): LayerSpec => ({
  diffId,
  digest: digestOfBytes(bytes),
  size: bytes.length,
});

async function* inPieces(bytes: Buffer, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield bytes.subarray(at, at + size);
  }
}

async function unpack(bytes: Buffer, spec = specOf(bytes), pieceSize?: number): Promise<Buffer> {
  const taken: Buffer[] = [];
  const take = (chunk: Buffer) => void taken.push(Buffer.from(chunk));
  await unpackStream(spec, inPieces(bytes, pieceSize), take, testLimits(2_000_000));
  return Buffer.concat(taken);
}

const gzip = gzipSync(content);
const members = Buffer.concat([
  gzipSync(content.subarray(0, 500)),
  gzipSync(content.subarray(500)),
]);
// As zstd:chunked and parallel compressors write them, with a frame that is to be skipped at the end.
const frames = Buffer.concat([
  zstdCompressSync(content.subarray(0, 500)),
  zstdCompressSync(content.subarray(500)),
  Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
]);
const padded = Buffer.concat([gzip, Buffer.alloc(1000)]);
for (const [name, bytes] of [
  ['plain', content],
  ['gzip', gzip],
  ['gzip of several members', members],
  ['gzip with zeros behind it', padded],
  ['zstd', zstdCompressSync(content)],
  ['zstd of several frames', frames],
] as const) {
  test(`a layer in ${name} is unpacked`, async () => {
    assert.ok((await unpack(bytes)).equals(content));
    assert.ok((await unpack(bytes, specOf(bytes), 3_000_000)).equals(content));
    assert.ok((await unpack(bytes, specOf(bytes), 97)).equals(content));
  });
}

test('an empty layer is unpacked, one byte at a time', async () => {
  const empty = Buffer.alloc(0);
  const spec = { ...specOf(gzipSync(empty)), diffId: digestOfBytes(empty) };
  assert.equal((await unpack(gzipSync(empty), spec, 1)).length, 0);
});

const flipped = Buffer.from(gzip);
flipped[5000] = (flipped[5000] ?? 0) ^ 1;
const cases: [name: string, bytes: Buffer, spec: LayerSpec, why: RegExp, kind?: string][] = [
  ['with a flipped bit', flipped, specOf(gzip), /blob sha256:\w+: its content has the digest/],
  [
    'cut short',
    gzip.subarray(0, 90_000),
    specOf(gzip),
    /blob sha256:\w+: 90000 bytes where its manifest tells/,
  ],
  ['too long', Buffer.concat([gzip, Buffer.alloc(1)]), specOf(gzip), /more than the \d+ bytes/],
  [
    'that was cut before it was sealed',
    gzip.subarray(0, 90_000),
    specOf(gzip.subarray(0, 90_000)),
    /decompress/,
  ],
  [
    'in zstd that was cut before it was sealed',
    frames.subarray(0, 90_000),
    specOf(frames.subarray(0, 90_000)),
    /decompress: unexpected end/,
  ],
  [
    'in zstd with garbage behind it',
    Buffer.concat([zstdCompressSync(content), Buffer.from('garbage')]),
    specOf(Buffer.concat([zstdCompressSync(content), Buffer.from('garbage')])),
    /decompress: /,
  ],
  [
    'of another diff id',
    gzip,
    { ...specOf(gzip), diffId: digestOfBytes(gzip) },
    /uncompressed content is/,
  ],
  [
    'that is a bomb',
    gzipSync(Buffer.alloc(3_000_000)),
    specOf(gzipSync(Buffer.alloc(3_000_000))),
    /more than 2000000 bytes/,
    'resource-exhausted',
  ],
];

for (const [name, bytes, spec, why, kind = 'failed-precondition'] of cases) {
  test(`a layer ${name} is refused`, async () => {
    await assert.rejects(unpack(bytes, spec), { kind, message: why });
  });
}

/** Unpacks what is beyond a limit of 2,000,000 bytes; tells how many bytes were read for it. */
async function readBeyond(bytes: Buffer, own: Partial<LayerSpec>, take = () => undefined) {
  const spec = { ...specOf(bytes), ...own };
  let read = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of inPieces(bytes, 500)) {
      read += piece.length;
      yield piece;
    }
  }
  let error: unknown;
  try {
    await unpackStream(spec, counted(), take, testLimits(2_000_000));
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof Error);
  return { read, error };
}

test('what is beyond a limit is read on only where others could have it right', async () => {
  const bomb = Buffer.concat([gzipSync(Buffer.alloc(3_000_000)), Buffer.alloc(50_000)]);
  const alone = await readBeyond(bomb, {});
  assert.ok(alone.read < bomb.length / 2, `${alone.read}`);
  assert.match(alone.error.message, /more than 2000000 bytes when uncompressed/);
  // Its own fault: no other would be of use.
  const own = await readBeyond(bomb, { hasOthers: true });
  assert.equal(own.read, bomb.length);
  assert.match(own.error.message, /more than 2000000 bytes when uncompressed/);
  assert.ok(!(own.error instanceof WrongBlobError));
  for (const wrong of [{ digest: diffId }, { size: 10_000 }, { size: 100_000 }]) {
    const { error } = await readBeyond(bomb, { hasOthers: true, ...wrong });
    assert.ok(error instanceof WrongBlobError, error.message);
  }
});

test('what is larger than the limit even as it comes is not asked for', async () => {
  const { read, error } = await readBeyond(gzip, { size: 2_000_001, hasOthers: true });
  assert.equal(read, 0);
  assert.match(
    error.message,
    /: 2000001 bytes as it comes: the limit is images\.limits\.max_layer_bytes$/,
  );
});

test('where the disk is full nothing more is read', async () => {
  for (const wrap of [
    (cause: Error) => cause,
    (cause: Error) => new Error('extract x', { cause }),
  ]) {
    const { read } = await readBeyond(gzip, { hasOthers: true }, () => {
      throw wrap(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    });
    assert.ok(read < gzip.length / 2, `${read}`);
  }
});

test('what the source and the taker throw is thrown', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield* inPieces(gzip.subarray(0, 50_000));
    throw new Error('connection lost');
  }
  await assert.rejects(
    unpackStream(specOf(gzip), broken(), () => undefined, testLimits(2_000_000)),
    /connection lost/,
  );
  const full = () => {
    throw new Error('disk full');
  };
  await assert.rejects(
    unpackStream(specOf(gzip), inPieces(gzip), full, testLimits(2_000_000)),
    /disk full/,
  );
});

test('a layer may shrink as much as it likes up to a size, and by zeros beyond it', async () => {
  const limits = testLimits(1 << 30, { maxRatio: 10, ratioFromBytes: 1 << 20 });
  const unpackBounded = async (...parts: readonly Buffer[]): Promise<void> => {
    const raw = Buffer.concat(parts);
    const bytes = gzipSync(raw);
    const spec = { ...specOf(bytes), diffId: digestOfBytes(raw) };
    await unpackStream(spec, inPieces(bytes), () => undefined, limits);
  };
  const zeros = Buffer.alloc(8 << 20);
  await unpackBounded(Buffer.alloc(1 << 20, 'x'));
  await unpackBounded(zeros);
  // A disk image may begin with more zeros than its first bytes account for.
  await unpackBounded(zeros, randomBytes(2 << 20), zeros);
  await assert.rejects(unpackBounded(zeros, Buffer.alloc((1 << 20) + 1, 'x')), {
    kind: 'resource-exhausted',
    message: /10485\d\d bytes when uncompressed, zeros apart, of \d+: more than 10 times as many/,
  });
});
