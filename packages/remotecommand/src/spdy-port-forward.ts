import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { kindOf, RuntimeError } from '@gantry/errors';
import { SpdyConnection } from '@gantry/spdy';
import { Arrivals } from './arrivals.ts';
import type { ForwardedConnection, PortForwardOptions, PortForwardSession } from './session.ts';
import { endWithError, type StreamPair, StreamPairs } from './stream-pairs.ts';

/** Two a connection. Far more than any client has; how many it may have is its server's rule. */
const maxStreams = 4096;

/** Serves port-forward on a transport that speaks SPDY from its next byte on. */
export function servePortForward(
  transport: Duplex,
  head: Buffer,
  protocol: string,
  options: Pick<PortForwardOptions, 'idleTimeoutMs' | 'creationTimeoutMs' | 'signal'>,
): PortForwardSession {
  const { signal } = options;
  const connections = new Arrivals<ForwardedConnection>();
  const pairs = new StreamPairs(options.creationTimeoutMs, (pair) =>
    connections.add(forward(pair)),
  );
  const connection = new SpdyConnection(transport, {
    role: 'server',
    head,
    idleTimeoutMs: options.idleTimeoutMs,
    limits: { maxStreams },
    onStream: (stream) => pairs.add(stream),
  });
  const gone = new AbortController();
  const stop = (): void => {
    gone.abort(new RuntimeError(kindOf(signal.reason), 'session ended', { cause: signal.reason }));
    connection.destroy();
  };
  connection.gone.addEventListener('abort', () => {
    const cause: unknown = connection.gone.reason;
    signal.removeEventListener('abort', stop);
    pairs.end();
    connections.end();
    gone.abort(new RuntimeError(kindOf(cause), 'stream to client', { cause }));
  });
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) {
    stop();
  }
  return {
    protocol,
    connections,
    gone: gone.signal,
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

function forward({ port, data, error }: StreamPair): ForwardedConnection {
  // The client waits for the end of the error stream; without a text all went well.
  const endWell = (): void => {
    if (error.writable) {
      error.end();
    }
  };
  data.once('finish', endWell);
  data.once('close', endWell);
  return {
    port,
    data,
    fail: async (message) => {
      if (error.writable) {
        const finished = once(error, 'finish');
        endWithError(error, message);
        // It rejects when the connection goes first; then there is nobody to tell.
        await finished.catch(() => {});
      }
      data.reset();
    },
  };
}
