import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, type Frame, headerBytes, maxDataBytes } from './frame.ts';
import { FrameDecoder, type OversizeFrame } from './frame-decoder.ts';

function collect(limit?: number) {
  const seen: (Frame | OversizeFrame)[] = [];
  const sink = { frame: (f: Frame) => seen.push(f), oversize: (f: OversizeFrame) => seen.push(f) };
  return { seen, decoder: new FrameDecoder(sink as never, limit) };
}

/** A small generator of numbers below 2^32 that is the same in every run. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
}

function textOf(seen: Frame | OversizeFrame): string {
  const { streamId, type, flags } = seen;
  const data = 'data' in seen ? Buffer.from(seen.data).toString('hex') : seen.lengthBytes;
  return [streamId, type, flags, data].join(' ');
}

const three = [
  { streamId: 1, type: 1, flags: 0, data: Buffer.from('hello') },
  { streamId: 3, type: 2, flags: 4, data: Buffer.alloc(0) },
  { streamId: 0xffff_ffff, type: 9, flags: 255, data: Buffer.from([0, 1, 2]) },
];
const bytes = Buffer.concat(three.map((frame) => encodeFrame(frame)));

test('frames cut at every byte are the same frames', () => {
  for (let cut = 0; cut <= bytes.length; cut++) {
    const { seen, decoder } = collect();
    decoder.push(bytes.subarray(0, cut));
    decoder.push(bytes.subarray(cut));
    assert.deepEqual(
      seen.map((f) => ({ ...f, data: Buffer.from((f as Frame).data) })),
      three,
      `cut at ${cut}`,
    );
    assert.equal(decoder.isInside, false);
  }
});

test('frames that come byte by byte, from one buffer that is used again, are the same frames', () => {
  const { seen, decoder } = collect();
  const one = Buffer.alloc(1);
  for (const byte of bytes) {
    one[0] = byte;
    decoder.push(one);
  }
  assert.deepEqual(
    seen.map((f) => Buffer.from((f as Frame).data).toString('hex')),
    ['68656c6c6f', '', '000102'],
  );
});

test('the largest frame passes; one byte more is told of, thrown away, and the next one is read', () => {
  const { seen, decoder } = collect();
  decoder.push(encodeFrame({ streamId: 1, type: 1, data: new Uint8Array(maxDataBytes) }));
  const head = Buffer.alloc(headerBytes);
  head.writeUInt32BE(maxDataBytes + 1, 0);
  head.writeUInt32BE(5, 4);
  head.writeUInt8(2, 8);
  decoder.push(head);
  for (let left = maxDataBytes + 1; left > 0; left -= 65_536) {
    decoder.push(new Uint8Array(Math.min(left, 65_536)));
  }
  decoder.push(encodeFrame({ streamId: 7, type: 2, data: Buffer.from('x') }));
  assert.equal((seen[0] as Frame).data.length, maxDataBytes);
  assert.deepEqual(seen[1], { streamId: 5, type: 2, flags: 0, lengthBytes: maxDataBytes + 1 });
  assert.equal((seen[2] as Frame).streamId, 7);
  assert.throws(
    () => encodeFrame({ streamId: 1, type: 1, data: new Uint8Array(maxDataBytes + 1) }),
    { kind: 'resource-exhausted', message: /length 4194305 exceeds .* 4194304/ },
  );
});

test('noise in any pieces never throws, and however it is cut the same comes out', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const noise = Buffer.from(Array.from({ length: 600 }, () => random() >>> 24));
    // Now and then a length that ends, so that more than one header is met.
    for (let at = 0; at + headerBytes < noise.length; at += 40) {
      noise.writeUInt32BE(random() % 64, at);
    }
    const whole = collect(48);
    whole.decoder.push(noise);
    const parts = collect(48);
    for (let at = 0; at < noise.length; ) {
      const length = random() % 17;
      parts.decoder.push(noise.subarray(at, at + length));
      at += length;
    }
    assert.deepEqual(parts.seen.map(textOf), whole.seen.map(textOf), `seed ${seed}`);
    assert.ok(whole.seen.length > 0);
  }
});
