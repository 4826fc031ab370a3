import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { RuntimeError } from '@gantry/errors';

const outputBytes = 256 << 10;
const gzipMagic = Buffer.from([0x1f, 0x8b]);
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** So many bytes tell how a layer is compressed. */
export const magicBytes = zstdMagic.length;

/**
 * What Node's zlib streams stand on (lib/zlib.js, `_handle` and `_writeState`):
 * zlib itself, called at once. The streams take a turn of the thread pool and new
 * memory for each piece: more than twice the CPU for the same bytes.
 */
interface ZlibStream {
  readonly _handle: {
    writeSync(
      flush: number,
      input: Uint8Array,
      inputOffset: number,
      inputLength: number,
      output: Uint8Array,
      outputOffset: number,
      outputLength: number,
    ): void;
    onerror: (message: string) => void;
  };
  /** How much room and how much input the last call left. */
  readonly _writeState: Uint32Array;
  close(): void;
}

/** Takes content as it is inflated; a piece is valid only during the call. */
export type TakePiece = (piece: Buffer) => void;

/** Inflates gzip of any number of members, or zstd of any number of frames, on the calling thread. */
export class Inflater implements Disposable {
  readonly #stream: ZlibStream;
  readonly #finishFlush: number;
  readonly #hasFrames: boolean;
  readonly #output = outputOfThread();
  #fault: string | undefined;
  /** The compressed stream has ended: what follows is no part of it. */
  isOver = false;

  private constructor(stream: unknown, { isZstd }: { readonly isZstd: boolean }) {
    this.#stream = asZlibStream(stream);
    this.#hasFrames = isZstd;
    this.#finishFlush = isZstd ? constants.ZSTD_e_end : constants.Z_FINISH;
    this.#stream._handle.onerror = (message) => {
      this.#fault = message;
    };
  }

  /** For what begins with `head`; undefined where that is not compressed. */
  static for(head: Buffer): Inflater | undefined {
    if (head.subarray(0, gzipMagic.length).equals(gzipMagic)) {
      return new Inflater(createGunzip(), { isZstd: false });
    }
    return head.equals(zstdMagic)
      ? new Inflater(createZstdDecompress(), { isZstd: true })
      : undefined;
  }

  /** Takes the next compressed bytes. Throws `failed-precondition` when they are damaged, and what `take` throws. */
  push(input: Uint8Array, take: TakePiece): void {
    this.#run(0, input, take);
  }

  /** No more comes. Throws `failed-precondition` when the stream has not ended. */
  finish(take: TakePiece): void {
    if (!this.isOver) {
      this.#run(this.#finishFlush, new Uint8Array(0), take);
    }
  }

  #run(flush: number, input: Uint8Array, take: TakePiece): void {
    const { _handle: handle, _writeState: state } = this.#stream;
    for (let offset = 0; !this.isOver; ) {
      const given = input.length - offset;
      handle.writeSync(flush, input, offset, given, this.#output, 0, outputBytes);
      if (this.#fault !== undefined) {
        throw new RuntimeError('failed-precondition', `decompress: ${this.#fault}`);
      }
      const [room = 0, left = 0] = state;
      offset += given - left;
      if (room < outputBytes) {
        take(this.#output.subarray(0, outputBytes - room));
      }
      if (room === 0) {
        // There may be more of it, even where all input is used up.
        continue;
      }
      if (left === 0) {
        return;
      }
      // Room and input are left. zlib goes on to a next member by itself, zstd when it is asked again.
      this.isOver = !this.#hasFrames || (left === given && room === outputBytes);
    }
  }

  [Symbol.dispose](): void {
    this.#stream.close();
  }
}

let output: Buffer | undefined;

/** One for all that a thread ever inflates: nothing of it is valid beyond a call. */
function outputOfThread(): Buffer {
  output ??= Buffer.allocUnsafeSlow(outputBytes);
  return output;
}

function asZlibStream(stream: unknown): ZlibStream {
  const { _handle: handle, _writeState: state } = stream as Partial<ZlibStream>;
  if (typeof handle?.writeSync !== 'function' || !(state instanceof Uint32Array)) {
    throw new RuntimeError(
      'internal',
      'decompress: not the version of Node that Gantry comes with',
    );
  }
  return stream as ZlibStream;
}
