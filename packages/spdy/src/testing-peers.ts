import { type Duplex, duplexPair } from 'node:stream';
import type { TestContext } from 'node:test';
import { SpdyConnection, type SpdyConnectionOptions } from './connection.ts';
import { encodeControl, encodeDataHeader } from './encode.ts';
import type { ControlFrame } from './frames.ts';
import { HeaderEncoder } from './header-block.ts';
import type { SpdyStream } from './spdy-stream.ts';
import { headersOf, parseAll, type ReadFrame } from './testing.ts';

export interface Pair {
  readonly client: SpdyConnection;
  readonly server: SpdyConnection;
  /** Streams that the client opened, accepted, in their order. */
  readonly opened: SpdyStream[];
}

export function connect(t: TestContext, server: Partial<SpdyConnectionOptions> = {}): Pair {
  const [near, far] = duplexPair();
  const opened: SpdyStream[] = [];
  const pair = {
    opened,
    client: new SpdyConnection(near, { role: 'client' }),
    server: new SpdyConnection(far, {
      role: 'server',
      onStream: (stream) => {
        opened.push(stream);
        stream.accept();
      },
      ...server,
    }),
  };
  t.after(() => {
    pair.client.destroy();
    pair.server.destroy();
  });
  return pair;
}

/** A server, and a peer that writes and reads frames by hand. */
export class RawPeer {
  readonly server: SpdyConnection;
  readonly opened: SpdyStream[] = [];
  readonly wire: Duplex;
  readonly #encoder = new HeaderEncoder();
  readonly #received: Buffer[] = [];

  constructor(t: TestContext, options: Partial<SpdyConnectionOptions> = {}) {
    const [near, far] = duplexPair();
    this.wire = near;
    this.server = new SpdyConnection(far, {
      role: 'server',
      onStream: (stream) => {
        this.opened.push(stream);
        stream.accept();
      },
      ...options,
    });
    near.on('data', (chunk: Buffer) => this.#received.push(chunk));
    t.after(() => this.server.destroy());
  }

  send(...frames: readonly (ControlFrame | Buffer)[]): void {
    for (const frame of frames) {
      this.wire.write(Buffer.isBuffer(frame) ? frame : encodeControl(frame, this.#encoder));
    }
  }

  open(streamId: number, init: { fin?: boolean; unidirectional?: boolean } = {}): void {
    this.send({
      type: 'syn-stream',
      streamId,
      associatedId: 0,
      priority: 0,
      headers: headersOf({ streamtype: 'stdin' }),
      fin: false,
      unidirectional: false,
      ...init,
    });
  }

  async frames(): Promise<ReadFrame[]> {
    // Both ends of the pair hand bytes on within one turn of the loop.
    await settled();
    return parseAll(this.#received);
  }
}

export function data(streamId: number, payload: string, fin = false): Buffer {
  const bytes = Buffer.from(payload);
  return Buffer.concat([encodeDataHeader(streamId, bytes.length, fin), bytes]);
}

export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await new Promise(setImmediate);
  }
}

export const reply = (streamId: number): ReadFrame => ({
  type: 'syn-reply',
  streamId,
  headers: headersOf({}),
  fin: false,
});
