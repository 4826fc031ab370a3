// Frames of RFC 9113, byte by byte: what node's own client would never send.

const dataType = 0;
const headersType = 1;
const resetType = 3;
const settingsType = 4;
const endStreamFlag = 1;
const endHeadersFlag = 4;

/** What a client says before its first call. */
export const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  http2Frame(settingsType, 0, 0, Buffer.alloc(0)),
]);

/** Opens a call; leaves the request open. */
export function headersFrame(streamId: number, headers: Readonly<Record<string, string>>): Buffer {
  // HPACK (RFC 7541, 6.2.2): literals without an index; each string shorter than 127 bytes.
  const block = Object.entries(headers).flatMap(([name, value]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
  return http2Frame(headersType, endHeadersFlag, streamId, Buffer.concat(block));
}

export function dataFrame(streamId: number, body: Buffer, isLast = false): Buffer {
  return http2Frame(dataType, isLast ? endStreamFlag : 0, streamId, body);
}

export function resetFrame(streamId: number, code: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32BE(code);
  return http2Frame(resetType, 0, streamId, body);
}

function http2Frame(type: number, flags: number, streamId: number, body: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, body]);
}
