import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { dictionary } from './dictionary.ts';
import { encodeControl, encodeDataHeader } from './encode.ts';
import { HeaderDecoder, HeaderEncoder } from './header-block.ts';
import { defaultLimits } from './limits.ts';
import { SpdyError } from './spdy-error.ts';
import { headersOf, parseAll, type ReadFrame } from './testing.ts';

// Written by moby/spdystream 0.5.1, one connection, in this order.
const conversation = [
  '80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff',
  '800300010000001700000003000000000000c22e555c92929907000000ffff',
  '800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff',
  '000000050000000568656c6c6f',
  '0000000501000000',
  '80030003000000080000000500000005',
  '800300060000000400000001',
  '80030009000000080000000500010000',
  '800300040000000c000000010000000400000064',
  '80030007000000080000000500000000',
];
const open = { associatedId: 0, priority: 0, fin: false, unidirectional: false };
const meaning: ReadFrame[] = [
  { type: 'syn-stream', streamId: 1, ...open, headers: headersOf({ streamtype: 'error' }) },
  { type: 'syn-stream', streamId: 3, ...open, headers: headersOf({ streamtype: 'stdin' }) },
  { type: 'syn-stream', streamId: 5, ...open, headers: headersOf({ streamtype: 'stdout' }) },
  { type: 'data', streamId: 5, data: '68656c6c6f', fin: true },
  { type: 'rst-stream', streamId: 5, status: 5 },
  { type: 'ping', id: 1 },
  { type: 'window-update', streamId: 5, delta: 65536 },
  { type: 'settings', entries: [{ id: 4, flags: 0, value: 100 }] },
  { type: 'goaway', lastStreamId: 5, status: 0 },
];

function bytes(...hex: readonly string[]): Buffer {
  return Buffer.from(hex.join(''), 'hex');
}

function throwsSpdy(act: () => unknown, message: RegExp): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof SpdyError);
    assert.equal(error.kind, 'invalid-argument');
    assert.match(error.message, message);
    return true;
  });
}

describe('FrameParser', () => {
  it('reads what spdystream writes', () => {
    assert.deepEqual(parseAll([bytes(...conversation)]), meaning);
  });

  it('reads the same when the bytes are cut at any place', () => {
    const all = bytes(...conversation);
    for (let at = 0; at <= all.length; at++) {
      assert.deepEqual(parseAll([all.subarray(0, at), all.subarray(at)]), meaning);
    }
    assert.deepEqual(parseAll([...all].map((byte) => Buffer.from([byte]))), meaning);
  });

  it('reads replies with and without references to earlier blocks', () => {
    const reply = (streamId: number): ReadFrame => ({
      type: 'syn-reply',
      streamId,
      fin: false,
      headers: headersOf({}),
    });
    const first = '80030002000000140000000178f9e3c6a7c26260606000000000ffff';
    const back = '800300020000000c00000003026100000000ffff';
    const constant = '800300020000000e000000036260606000000000ffff';
    assert.deepEqual(parseAll([bytes(first, back)]), [reply(1), reply(3)]);
    assert.deepEqual(parseAll([bytes(first, constant)]), [reply(1), reply(3)]);
  });

  it('reads the header block of a fresh connection', () => {
    const resize =
      '800300010000002b0000000100000000000078f9e3c6a7c2' +
      '6260606004a7b392a2d4c45c6851c256945a9c59950a000000ffff';
    assert.deepEqual(parseAll([bytes(resize)]), [
      { type: 'syn-stream', streamId: 1, ...open, headers: headersOf({ streamtype: 'resize' }) },
    ]);
  });

  it('hands DATA on as it comes, however large the frame says it is', () => {
    const pieces = [encodeDataHeader(1, 0xffffff, true), Buffer.alloc(10), Buffer.alloc(20)];
    assert.deepEqual(parseAll(pieces), [
      { type: 'data', streamId: 1, data: '00'.repeat(30), fin: false },
    ]);
  });

  const faults: readonly (readonly [string, string, RegExp])[] = [
    ['another version', '8002000600000004', /version 2/],
    ['an unknown type', '8003000b00000000', /unknown type 11/],
    ['the obsolete NOOP', '8003000500000000', /unknown type 5/],
    ['a control frame above the limit', '8003000100010001', /65537 bytes, more than 65536/],
    ['DATA for stream 0', '0000000000000001', /stream 0/],
    ['DATA with unknown flags', '0000000102000001', /flags 2/],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n').toString('hex'), /flags 47/],
    ['a short SYN_STREAM', '800300010000000900000001000000000000', /SYN_STREAM of 9 bytes/],
    ['a short SYN_REPLY', '80030002000000020000', /syn-reply of 2 bytes/],
    ['a PING of 5 bytes', '80030006000000050000000100', /PING of 5 bytes/],
    ['a PING with flags', '800300060100000400000001', /PING with flags 1/],
    ['PING 0', '800300060000000400000000', /PING with id 0/],
    ['RST_STREAM with status 0', '80030003000000080000000100000000', /status 0/],
    ['RST_STREAM of stream 0', '80030003000000080000000000000005', /stream id 0/],
    ['SETTINGS with a wrong count', '800300040000000c000000020000000400000064', /for 2 entries/],
    ['an empty SETTINGS', '8003000400000000', /SETTINGS of 0 bytes/],
    ['GOAWAY without status', '800300070000000400000005', /GOAWAY of 4 bytes/],
    [
      'headers without zlib header',
      '80030002000000060000000178f9',
      /header block without zlib header/,
    ],
    [
      'headers with another dictionary',
      '80030002000000140000000178f9e3c6a7c36260606000000000ffff',
      /SPDY\/3 dictionary/,
    ],
    [
      'headers without sync flush',
      '80030002000000100000000178f9e3c6a7c2626060600000',
      /sync flush/,
    ],
    [
      'headers that are not deflate',
      '80030002000000120000000178f9e3c6a7c2ffffffff0000ffff',
      /can not be inflated/,
    ],
  ];
  for (const [name, hex, message] of faults) {
    it(`refuses ${name}`, () => {
      throwsSpdy(() => parseAll([bytes(hex)]), message);
      throwsSpdy(() => parseAll([...bytes(hex)].map((byte) => Buffer.from([byte]))), message);
    });
  }
});

describe('header blocks', () => {
  it('use the dictionary of SPDY/3', () => {
    assert.equal(dictionary.length, 1423);
    assert.equal(adler32(dictionary), 0xe3c6a7c2);
  });

  it('come back as they were sent, beyond the 32 KiB that zlib remembers', () => {
    const encoder = new HeaderEncoder();
    const decoder = new HeaderDecoder(defaultLimits);
    for (let i = 0; i < 60; i++) {
      // Words that repeat, so that blocks refer to those before them, and some that do not.
      const headers = headersOf({
        streamtype: 'error',
        port: String(i),
        requestid: Array.from({ length: 200 }, (_, n) => (n * 7919 * (i + 1)) % 9973).join('-'),
        empty: '',
        several: 'a\0b',
      });
      assert.deepEqual(decoder.decode(encoder.encode(headers)), headers);
    }
  });

  it('take less room when the connection has seen their words', () => {
    const encoder = new HeaderEncoder();
    const first = encoder.encode(headersOf({ streamtype: 'error', requestid: '12345' }));
    const second = encoder.encode(headersOf({ streamtype: 'error', requestid: '12345' }));
    assert.equal(first.subarray(0, 6).toString('hex'), '78f9e3c6a7c2');
    assert.ok(second.length < (first.length - 6) / 2, `${second.length} of ${first.length}`);
  });

  const withHeader = (raw: Buffer): Buffer => Buffer.concat([bytes('78f9e3c6a7c2'), raw]);
  const deflate = (plain: Buffer): Buffer => withHeader(deflateRawSync(plain, { finishFlush: 2 }));
  const decode = (block: Buffer, limits = {}): unknown =>
    new HeaderDecoder({ ...defaultLimits, ...limits }).decode(block);
  const block = (...pairs: readonly (readonly [string, string])[]): Buffer =>
    Buffer.concat([
      u32(pairs.length),
      ...pairs.flat().flatMap((text) => [u32(text.length), Buffer.from(text)]),
    ]);

  it('are refused when they inflate beyond the limit', () => {
    throwsSpdy(() => decode(deflate(Buffer.alloc(10_000_000))), /more than 65536 bytes/);
  });

  it('are refused when they are malformed', () => {
    throwsSpdy(() => decode(deflate(Buffer.alloc(3))), /cut short/);
    throwsSpdy(() => decode(deflate(u32(1))), /cut short/);
    throwsSpdy(() => decode(deflate(Buffer.concat([u32(1), u32(0xffffffff)]))), /cut short/);
    throwsSpdy(() => decode(deflate(u32(101))), /101 headers, more than 100/);
    throwsSpdy(() => decode(deflate(Buffer.concat([block(['a', 'b']), u32(0)]))), /after the last/);
    throwsSpdy(() => decode(deflate(block(['A', 'b']))), /lower case/);
    throwsSpdy(() => decode(deflate(block(['', 'b']))), /empty/);
    throwsSpdy(() => decode(deflate(block(['a', 'b'], ['a', 'c']))), /there twice/);
    // A stream that has ended, and a sync mark behind its end.
    const ended = deflateRawSync(block(['a', 'b']));
    throwsSpdy(
      () => decode(withHeader(Buffer.concat([ended, bytes('0000ffff')]))),
      /after the end/,
    );
  });

  it('are the same for a name that an object would take for its prototype', () => {
    assert.deepEqual(decode(deflate(block(['__proto__', 'x']))), new Map([['__proto__', 'x']]));
  });
});

describe('encodeControl', () => {
  it('writes what spdystream writes, up to the compression', () => {
    const encoder = new HeaderEncoder();
    for (const [i, frame] of meaning.entries()) {
      if (frame.type !== 'data') {
        const written = encodeControl(frame, encoder);
        assert.equal(written.readUInt16BE(0), 0x8003);
        if (!('headers' in frame)) {
          assert.ok(conversation.includes(written.toString('hex')), `frame ${i}`);
        }
      }
    }
  });

  it('writes frames that come back the same', () => {
    const frames: Parameters<typeof encodeControl>[0][] = [
      {
        type: 'syn-stream',
        streamId: 7,
        associatedId: 5,
        priority: 6,
        headers: headersOf({ a: 'b' }),
        fin: true,
        unidirectional: true,
      },
      { type: 'syn-reply', streamId: 7, headers: headersOf({}), fin: true },
      { type: 'headers', streamId: 7, headers: headersOf({ c: 'd' }), fin: false },
      { type: 'settings', entries: [{ id: 0xabcdef, flags: 255, value: 0xffffffff }] },
      { type: 'ping', id: 0xfffffffe },
      { type: 'window-update', streamId: 0, delta: 0x7fffffff },
    ];
    const encoder = new HeaderEncoder();
    const written = frames.map((frame) => encodeControl(frame, encoder));
    assert.deepEqual(parseAll(written), frames);
  });
});

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

function adler32(data: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b * 65536 + a;
}
