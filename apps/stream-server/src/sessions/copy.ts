import type { Readable, Writable } from 'node:stream';
import { LendingReader } from '@gantry/host';

/** How much is dropped at a go, and the rest after that: 5 MB/s, so that a flood which nobody wants costs next to nothing. */
const dropBytes = 256 << 10;
const dropPauseMs = 50;

export interface CopyOptions {
  /** `to` ends with `from`. */
  readonly end?: boolean;
  /** Once nobody wants it, `from` is read slowly. */
  readonly dropSlowly?: boolean;
}

/**
 * Copies what `from` gives to `to`, at the speed of both; resolves when `from`
 * is over, and never rejects. When `to` is absent or over, the rest is read and
 * dropped, so that its writer is not held up for ever.
 */
export function copy(
  from: Readable,
  to: Writable | undefined,
  options: CopyOptions = {},
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let sink = to;
  const onDrain = (): void => {
    from.resume();
  };
  const lender = from instanceof LendingReader ? from : undefined;
  const drop = (): void => {
    sink = undefined;
    lender?.stopLending();
    if (options.dropSlowly === true) {
      readSlowly(from);
    }
    from.resume();
  };
  if (sink !== undefined) {
    lender?.lend();
  }
  from.on('data', (chunk: Buffer) => {
    // Its memory is free when the sink's transport has taken it.
    if (sink !== undefined && !sink.write(chunk, () => lender?.release(chunk))) {
      from.pause();
    }
  });
  from.on('error', () => undefined);
  from.once('end', () => {
    if (options.end === true) {
      sink?.end();
    }
    resolve();
  });
  from.once('close', resolve);
  to?.on('drain', onDrain);
  to?.on('error', () => undefined);
  to?.once('close', drop);
  if (from.destroyed || from.readableEnded) {
    resolve();
  }
  if (to?.destroyed === true) {
    drop();
  } else {
    from.resume();
  }
  return promise;
}

function readSlowly(from: Readable): void {
  let dropped = 0;
  from.on('data', (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped >= dropBytes) {
      dropped = 0;
      from.pause();
      setTimeout(() => from.resume(), dropPauseMs);
    }
  });
}
