import { type ControlFrame, finFlag, frameType, unidirectionalFlag } from './frames.ts';
import type { HeaderDecoder } from './header-block.ts';
import { protocolError } from './spdy-error.ts';

type Decode = (payload: Buffer, flags: number, headers: HeaderDecoder) => ControlFrame;

const decoders: ReadonlyMap<number, Decode> = new Map<number, Decode>([
  [frameType.synStream, decodeSynStream],
  [frameType.synReply, decodeHeaders('syn-reply')],
  [frameType.headers, decodeHeaders('headers')],
  [frameType.settings, decodeSettings],
  [
    frameType.rstStream,
    fixed('RST_STREAM', 8, (payload) => {
      const status = payload.readUInt32BE(4);
      if (status === 0) {
        throw protocolError('RST_STREAM with status 0');
      }
      return { type: 'rst-stream', streamId: streamIdAt(payload, 0), status };
    }),
  ],
  [
    frameType.ping,
    fixed('PING', 4, (payload) => {
      const id = payload.readUInt32BE(0);
      if (id === 0) {
        throw protocolError('PING with id 0');
      }
      return { type: 'ping', id };
    }),
  ],
  [
    frameType.goaway,
    fixed('GOAWAY', 8, (payload) => ({
      type: 'goaway',
      lastStreamId: payload.readUInt32BE(0) & 0x7fffffff,
      status: payload.readUInt32BE(4),
    })),
  ],
  [
    frameType.windowUpdate,
    // Id 0 is the window of the whole connection in SPDY/3.1.
    fixed('WINDOW_UPDATE', 8, (payload) => ({
      type: 'window-update',
      streamId: payload.readUInt32BE(0) & 0x7fffffff,
      delta: payload.readUInt32BE(4) & 0x7fffffff,
    })),
  ],
]);

/**
 * Decodes the payload of a control frame of `type`. Throws SpdyError on an
 * unknown type too, as spdystream closes the connection on it.
 */
export function decodeControl(
  type: number,
  flags: number,
  payload: Buffer,
  headers: HeaderDecoder,
): ControlFrame {
  const decode = decoders.get(type);
  if (decode === undefined) {
    throw protocolError(`control frame of unknown type ${type}`);
  }
  return decode(payload, flags, headers);
}

function decodeSynStream(payload: Buffer, flags: number, headers: HeaderDecoder): ControlFrame {
  need(payload, 10, 'SYN_STREAM');
  checkFlags(flags, finFlag | unidirectionalFlag, 'SYN_STREAM');
  return {
    type: 'syn-stream',
    streamId: streamIdAt(payload, 0),
    associatedId: payload.readUInt32BE(4) & 0x7fffffff,
    priority: payload.readUInt8(8) >> 5,
    headers: headers.decode(payload.subarray(10)),
    fin: (flags & finFlag) !== 0,
    unidirectional: (flags & unidirectionalFlag) !== 0,
  };
}

function decodeHeaders(type: 'syn-reply' | 'headers'): Decode {
  return (payload, flags, headers) => {
    need(payload, 4, type);
    checkFlags(flags, finFlag, type);
    return {
      type,
      streamId: streamIdAt(payload, 0),
      headers: headers.decode(payload.subarray(4)),
      fin: (flags & finFlag) !== 0,
    };
  };
}

function decodeSettings(payload: Buffer): ControlFrame {
  need(payload, 4, 'SETTINGS');
  const count = payload.readUInt32BE(0);
  if (payload.length !== 4 + count * 8) {
    throw protocolError(`SETTINGS of ${payload.length} bytes for ${count} entries`);
  }
  const entries = Array.from({ length: count }, (_, i) => ({
    flags: payload.readUInt8(4 + i * 8),
    id: payload.readUIntBE(5 + i * 8, 3),
    value: payload.readUInt32BE(8 + i * 8),
  }));
  return { type: 'settings', entries };
}

function fixed(name: string, length: number, decode: (payload: Buffer) => ControlFrame): Decode {
  return (payload, flags) => {
    if (payload.length !== length) {
      throw protocolError(`${name} of ${payload.length} bytes, not ${length}`);
    }
    checkFlags(flags, 0, name);
    return decode(payload);
  };
}

function streamIdAt(payload: Buffer, at: number): number {
  const id = payload.readUInt32BE(at) & 0x7fffffff;
  if (id === 0) {
    throw protocolError('stream id 0');
  }
  return id;
}

function need(payload: Buffer, length: number, name: string): void {
  if (payload.length < length) {
    throw protocolError(`${name} of ${payload.length} bytes`);
  }
}

function checkFlags(flags: number, allowed: number, name: string): void {
  if ((flags & ~allowed) !== 0) {
    throw protocolError(`${name} with flags ${flags}`);
  }
}
