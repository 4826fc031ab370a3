import {
  type ControlFrame,
  finFlag,
  frameHeaderBytes,
  frameType,
  type HeadersFrame,
  type Settings,
  type SynReply,
  type SynStream,
  unidirectionalFlag,
  version,
} from './frames.ts';
import type { HeaderEncoder } from './header-block.ts';

/**
 * The bytes of a control frame. Frames with headers move `headers` on, so they
 * must be sent in the order in which they were encoded.
 */
export function encodeControl(frame: ControlFrame, headers: HeaderEncoder): Buffer {
  switch (frame.type) {
    case 'syn-stream':
      return encodeSynStream(frame, headers);
    case 'syn-reply':
      return encodeHeaders(frameType.synReply, frame, headers);
    case 'headers':
      return encodeHeaders(frameType.headers, frame, headers);
    case 'rst-stream':
      return control(frameType.rstStream, 0, words(frame.streamId, frame.status));
    case 'settings':
      return encodeSettings(frame);
    case 'ping':
      return control(frameType.ping, 0, words(frame.id));
    case 'goaway':
      return control(frameType.goaway, 0, words(frame.lastStreamId, frame.status));
    case 'window-update':
      return control(frameType.windowUpdate, 0, words(frame.streamId, frame.delta));
  }
}

/** The 8 bytes before the payload of a DATA frame. */
export function encodeDataHeader(streamId: number, length: number, fin: boolean): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt32BE((fin ? finFlag : 0) * 0x1000000 + length, 4);
  return header;
}

function encodeSynStream(frame: SynStream, headers: HeaderEncoder): Buffer {
  const flags = (frame.fin ? finFlag : 0) | (frame.unidirectional ? unidirectionalFlag : 0);
  const ids = words(frame.streamId, frame.associatedId);
  const priority = Buffer.from([frame.priority << 5, 0]);
  return control(frameType.synStream, flags, ids, priority, headers.encode(frame.headers));
}

function encodeHeaders(
  type: number,
  frame: SynReply | HeadersFrame,
  headers: HeaderEncoder,
): Buffer {
  const flags = frame.fin ? finFlag : 0;
  return control(type, flags, words(frame.streamId), headers.encode(frame.headers));
}

function encodeSettings({ entries }: Settings): Buffer {
  const pairs = entries.flatMap(({ id, flags, value }) => [flags * 0x1000000 + id, value]);
  return control(frameType.settings, 0, words(entries.length, ...pairs));
}

function control(type: number, flags: number, ...payload: readonly Buffer[]): Buffer {
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt16BE(0x8000 | version, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt32BE(flags * 0x1000000 + length, 4);
  return Buffer.concat([header, ...payload]);
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) {
    bytes.writeUInt32BE(value, i * 4);
  }
  return bytes;
}
