import assert from 'node:assert/strict';
import { env } from 'node:process';
import { duplexPair } from 'node:stream';
import { describe, it } from 'node:test';
import { SpdyConnection } from './connection.ts';
import { encodeControl, encodeDataHeader } from './encode.ts';
import type { ControlFrame } from './frames.ts';
import { HeaderEncoder } from './header-block.ts';
import { SpdyError } from './spdy-error.ts';
import type { SpdyStream } from './spdy-stream.ts';
import { headersOf, parseAll, type ReadFrame, randomFrom } from './testing.ts';

// SPDY_FUZZ_SEEDS=1000000 for a long run; SPDY_FUZZ_FIRST picks up where one stopped.
const seeds = Number(env['SPDY_FUZZ_SEEDS'] ?? 3000);
const first = Number(env['SPDY_FUZZ_FIRST'] ?? 1);
const limits = { maxControlFrameBytes: 512, maxHeaderBlockBytes: 2048, maxHeaders: 8 };

type Random = (bound: number) => number;
type Outcome = { readonly frames: readonly ReadFrame[] } | { readonly error: string };

function randomFrame(random: Random): ControlFrame | Buffer {
  const streamId = 1 + random(9);
  const fin = random(4) === 0;
  const headers = headersOf(
    Object.fromEntries(
      Array.from({ length: random(4) }, (_, i) => [`name${i}`, 'v'.repeat(random(40))]),
    ),
  );
  const frames: readonly (() => ControlFrame | Buffer)[] = [
    () => ({
      type: 'syn-stream',
      streamId,
      associatedId: random(3),
      priority: random(8),
      headers,
      fin,
      unidirectional: random(8) === 0,
    }),
    () => ({ type: 'syn-reply', streamId, headers, fin }),
    () => ({ type: 'headers', streamId, headers, fin }),
    () => ({ type: 'rst-stream', streamId, status: 1 + random(11) }),
    () => ({ type: 'settings', entries: [{ id: random(9), flags: random(3), value: random(99) }] }),
    () => ({ type: 'ping', id: 1 + random(100) }),
    () => ({ type: 'goaway', lastStreamId: random(9), status: random(3) }),
    () => ({ type: 'window-update', streamId, delta: random(65536) }),
    () => {
      const length = random(60);
      return Buffer.concat([encodeDataHeader(streamId, length, fin), Buffer.alloc(length, 'd')]);
    },
  ];
  return frames[random(frames.length)]?.() ?? Buffer.alloc(0);
}

/** A few good frames, most of the time with some bytes changed, cut out or put in. */
function randomBytes(random: Random): Buffer {
  const encoder = new HeaderEncoder();
  const parts = Array.from({ length: 1 + random(8) }, () => {
    const frame = randomFrame(random);
    return Buffer.isBuffer(frame) ? frame : encodeControl(frame, encoder);
  });
  let bytes = Buffer.concat(parts);
  for (let i = random(4); i > 0; i--) {
    const at = random(bytes.length + 1);
    const end = Math.min(bytes.length, at + random(6));
    const put = Buffer.from(Array.from({ length: random(6) }, () => random(256)));
    bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(end)]);
  }
  return bytes;
}

function cut(bytes: Buffer, random: Random): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + random(20);
    chunks.push(bytes.subarray(at, end));
    at = end;
  }
  return chunks;
}

function outcomeOf(chunks: readonly Buffer[]): Outcome {
  try {
    return { frames: parseAll(chunks, limits) };
  } catch (error) {
    // Anything else than a SpdyError is a defect, and fails the test.
    if (error instanceof SpdyError && error.kind === 'invalid-argument') {
      return { error: error.message };
    }
    throw error;
  }
}

describe('the parser, fed with damaged frames', () => {
  it(`ends in frames or in a clear error, the same however the bytes are cut (${seeds} seeds)`, () => {
    let faults = 0;
    for (let seed = first; seed < first + seeds; seed++) {
      const random = randomFrom(seed);
      const bytes = randomBytes(random);
      const whole = outcomeOf([bytes]);
      assert.deepEqual(outcomeOf(cut(bytes, random)), whole, `seed ${seed}`);
      faults += 'error' in whole ? 1 : 0;
    }
    // Both kinds must be there, or the generator tests nothing.
    assert.ok(faults > seeds / 10 && faults < (seeds * 9) / 10, `${faults} faults of ${seeds}`);
  });
});

describe('a connection, fed with damaged frames', () => {
  const connections = Math.ceil(seeds / 10);
  it(`ends or goes on, never throws and holds nothing afterwards (${connections} seeds)`, async () => {
    let goneByFault = 0;
    for (let seed = first; seed < first + connections; seed++) {
      const random = randomFrom(seed);
      const [near, far] = duplexPair();
      const streams: SpdyStream[] = [];
      const server = new SpdyConnection(far, {
        role: 'server',
        limits: { ...limits, maxStreams: 3, streamBufferBytes: 64 },
        lingerMs: 1,
        onStream: (stream) => {
          streams.push(stream);
          useAtRandom(stream, random);
        },
      });
      near.resume();
      for (const chunk of cut(randomBytes(random), random)) {
        near.write(chunk);
      }
      await new Promise(setImmediate);
      goneByFault += server.gone.aborted ? 1 : 0;
      near.end();
      if (random(2) === 0) {
        await server.close();
      }
      // Nobody hears the peer's end while a stream is full that nobody reads.
      for (const stream of streams) {
        stream.destroy();
      }
      await server.closed;
      for (const stream of streams) {
        assert.equal(stream.heldBytes, 0, `seed ${seed}`);
      }
    }
    assert.ok(goneByFault > connections / 10 && goneByFault < connections, `${goneByFault} gone`);
  });
});

function useAtRandom(stream: SpdyStream, random: Random): void {
  const uses: readonly (() => void)[] = [
    () => stream.accept(),
    () => stream.reset(),
    () => stream.pipe(stream),
    () => stream.end('answer'),
    () => stream.ignoreInput(),
    () => stream.resume().write('more'),
  ];
  uses[random(uses.length)]?.();
}
