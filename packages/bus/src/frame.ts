import { grpcCodeOf, kindOf, kindOfGrpcCode, messageOf, RuntimeError } from '@gantry/errors';
import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';

/** Where a part stands in its body; counted from 1. */
export interface Part {
  readonly index: number;
  readonly count: number;
  readonly totalBytes: number;
}

/** What a message of a call says, beside its body. README.md tells who sends which. */
export type Frame =
  | { readonly type: 'answer' | 'item'; readonly part: Part | undefined }
  | { readonly type: 'part'; readonly part: Part }
  | { readonly type: 'error'; readonly error: unknown }
  | { readonly type: 'ack'; readonly bytes: number }
  | { readonly type: 'accept' | 'beat' | 'keep' | 'cancel' | 'end' | 'nobody' }
  | { readonly type: 'malformed' };

const typeHeader = 'Gantry-Type';
const partHeader = 'Gantry-Part';
const bytesHeader = 'Gantry-Bytes';
const codeHeader = 'Gantry-Code';
const messageHeader = 'Gantry-Message';
const timeoutHeader = 'Gantry-Timeout';
const maxMessageLength = 16 << 10;
const maxTimeoutMs = 2 ** 31 - 1;

/** What the headers of a request say. */
export interface RequestHead {
  readonly stream: boolean;
  readonly part: Part | undefined;
  /** How long the caller waits from now on. */
  readonly timeoutMs: number | undefined;
  /** All other headers: the trace context. */
  readonly carrier: Record<string, string>;
}

/** Writes the headers of a request; none when there is nothing to say. */
export function encodeRequest(head: RequestHead): MsgHdrs | undefined {
  const { stream, part, timeoutMs, carrier } = head;
  const names = Object.keys(carrier);
  if (!stream && part === undefined && timeoutMs === undefined && names.length === 0) {
    return undefined;
  }
  const headers = createHeaders();
  for (const name of names) {
    headers.set(name, carrier[name] ?? '');
  }
  if (stream) {
    headers.set(typeHeader, 'stream');
  }
  if (timeoutMs !== undefined) {
    headers.set(timeoutHeader, String(Math.ceil(timeoutMs)));
  }
  if (part !== undefined) {
    headers.set(partHeader, encodePart(part));
  }
  return headers;
}

/** Reads the headers of a request; undefined when they make no sense. */
export function decodeRequest(msg: Msg): RequestHead | undefined {
  const headers = headersOf(msg);
  if (headers === undefined) {
    return { stream: false, part: undefined, timeoutMs: undefined, carrier: {} };
  }
  if (headers === 'malformed') {
    return undefined;
  }
  const head = { stream: false, part: undefined as Part | undefined, carrier: {} };
  let timeoutMs: number | undefined;
  const carrier: Record<string, string> = head.carrier;
  for (const [name, [value = '']] of headers) {
    switch (name) {
      case typeHeader:
        head.stream = value === 'stream';
        break;
      case timeoutHeader:
        timeoutMs = naturalOf(value);
        if (timeoutMs === undefined) {
          return undefined;
        }
        break;
      case partHeader:
        head.part = decodePart(value);
        if (head.part === undefined) {
          return undefined;
        }
        break;
      default:
        carrier[name.toLowerCase()] = value;
    }
  }
  return {
    ...head,
    timeoutMs: timeoutMs === undefined ? undefined : Math.min(timeoutMs, maxTimeoutMs),
  };
}

/** Writes the headers of any message but a request. A whole answer needs none. */
export function encodeFrame(frame: Frame): MsgHdrs | undefined {
  if (frame.type === 'keep' || (frame.type === 'answer' && frame.part === undefined)) {
    return undefined;
  }
  const headers = createHeaders();
  headers.set(typeHeader, frame.type);
  if (frame.type === 'error') {
    headers.set(codeHeader, String(grpcCodeOf(kindOf(frame.error))));
    headers.set(messageHeader, escapeMessage(messageOf(frame.error)));
  } else if (frame.type === 'ack') {
    headers.set(bytesHeader, String(frame.bytes));
  } else if ('part' in frame && frame.part !== undefined) {
    headers.set(partHeader, encodePart(frame.part));
  }
  return headers;
}

/** Reads a message to a caller's inbox. */
export function decodeReply(msg: Msg): Frame {
  const headers = headersOf(msg);
  if (headers === undefined) {
    return { type: 'answer', part: undefined };
  }
  if (headers === 'malformed') {
    return { type: 'malformed' };
  }
  if (headers.code === 503) {
    return { type: 'nobody' };
  }
  const type = headers.get(typeHeader);
  switch (type) {
    case 'accept':
    case 'beat':
    case 'end':
      return { type };
    case 'answer':
    case 'item':
      return bodyOf(type, headers);
    case 'ack':
      return ackOf(headers);
    case 'error':
      return { type, error: errorOf(headers) };
    default:
      return { type: 'malformed' };
  }
}

/** Reads a message to the instance that serves a call. */
export function decodeControl(msg: Msg): Frame {
  const headers = headersOf(msg);
  if (headers === undefined) {
    return { type: 'keep' };
  }
  if (headers === 'malformed') {
    return { type: 'malformed' };
  }
  if (headers.code === 503) {
    return { type: 'nobody' };
  }
  switch (headers.get(typeHeader)) {
    case 'cancel':
      return { type: 'cancel' };
    case 'ack':
      return ackOf(headers);
    case 'part': {
      const part = decodePart(headers.get(partHeader));
      return part === undefined ? { type: 'malformed' } : { type: 'part', part };
    }
    default:
      return { type: 'malformed' };
  }
}

function headersOf(msg: Msg): MsgHdrs | 'malformed' | undefined {
  try {
    return msg.headers;
  } catch {
    // The library throws on a header name that no header may have.
    return 'malformed';
  }
}

function bodyOf(type: 'answer' | 'item', headers: MsgHdrs): Frame {
  const value = headers.get(partHeader);
  const part = value === '' ? undefined : decodePart(value);
  return part === undefined && value !== '' ? { type: 'malformed' } : { type, part };
}

function ackOf(headers: MsgHdrs): Frame {
  const bytes = naturalOf(headers.get(bytesHeader));
  return bytes === undefined ? { type: 'malformed' } : { type: 'ack', bytes };
}

function errorOf(headers: MsgHdrs): RuntimeError {
  const kind = kindOfGrpcCode(Number(headers.get(codeHeader)));
  return new RuntimeError(kind, unescapeMessage(headers.get(messageHeader)));
}

function encodePart(part: Part): string {
  return `${part.index}/${part.count}/${part.totalBytes}`;
}

function decodePart(value: string): Part | undefined {
  const [index, count, totalBytes, ...rest] = value.split('/').map(naturalOf);
  if (!index || !count || !totalBytes || rest.length > 0 || index > count || count > totalBytes) {
    return undefined;
  }
  return { index, count, totalBytes };
}

function naturalOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

// A header is one trimmed line: what would break that, and the escape itself,
// is percent-encoded as in gRPC's grpc-message; the rest stays readable.
function escapeMessage(message: string): string {
  return message
    .slice(0, maxMessageLength)
    .toWellFormed()
    .replace(/[%\p{Cc}]|^\s|\s$/gu, encodeURIComponent);
}

function unescapeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
