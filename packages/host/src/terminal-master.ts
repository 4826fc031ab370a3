import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { adoptDescriptor } from './adopt-descriptor.ts';
import { checked, closeFd, lazily } from './libc.ts';

const ioctl = lazily<[number, number, Uint8Array]>('ioctl', ['int', 'ulong', 'void *']);
const fcntl = lazily<[number, number, number]>('fcntl', ['int', 'int', 'long']);

const setWindowSize = 0x5414; // TIOCSWINSZ
const duplicateCloexec = 1030; // F_DUPFD_CLOEXEC
const getFlags = 3; // F_GETFL
const setFlags = 4; // F_SETFL
const nonBlocking = 0o4000; // O_NONBLOCK
const readBytes = 32 << 10;

/**
 * The master of a terminal, which may be handed over later than it is used: what is written and the
 * size that is set before wait for it. Disposing of it hangs the terminal up, as closing a window does:
 * the kernel sends SIGHUP to who has it as controlling terminal.
 */
export class TerminalMaster implements Disposable {
  /** Ends when nobody holds the other end any more, or by `finish`; what is written then is dropped. */
  readonly stream: Duplex;
  readonly #stream = new MasterStream();
  #control: number | undefined;
  #size: { readonly rows: number; readonly columns: number } | undefined;
  #isOver = false;

  constructor() {
    this.stream = this.#stream;
  }

  /** Hands over the descriptor; it is closed here, also on failure. */
  open(fd: number): void {
    const doing = 'open a terminal';
    if (this.#isOver) {
      closeFd(fd);
      return;
    }
    try {
      checked(fcntl()(fd, setFlags, checked(fcntl()(fd, getFlags, 0), doing) | nonBlocking), doing);
      this.#control = checked(fcntl()(fd, duplicateCloexec, 0), doing);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    if (this.#size !== undefined) {
      this.resize(this.#size.rows, this.#size.columns);
    }
    this.#stream.start(fd, this.#control);
  }

  /** In characters. Whoever has it as controlling terminal gets SIGWINCH; others must be told. */
  resize(rows: number, columns: number): void {
    this.#size = { rows, columns };
    if (this.#control === undefined) {
      return;
    }
    const size = Buffer.alloc(8); // struct winsize
    size.writeUInt16LE(rows, 0);
    size.writeUInt16LE(columns, 2);
    checked(ioctl()(this.#control, setWindowSize, size), 'resize a terminal');
  }

  /**
   * The process that the terminal was made for has ended: hands on all that was written up to now and
   * ends the stream, whoever still holds the other end.
   */
  finish(): void {
    this.#stream.finish();
    this.#close();
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
    this.#close();
  }

  #close(): void {
    this.#isOver = true;
    if (this.#control !== undefined) {
      closeFd(this.#control);
      this.#control = undefined;
    }
  }
}

/**
 * Node reads and writes as long as the other end is there. The last words are read here: the kernel
 * tells the end of a terminal (EIO, POLLHUP) while it still keeps some of them, and libuv
 * takes that for an end at once.
 */
class MasterStream extends Duplex {
  #socket: Socket | undefined;
  /** Of the same terminal, for the last words. */
  #master: number | undefined;
  #isOver = false;
  /** The write that waits for the terminal, or for room in it. */
  #waiting: { readonly chunk: Buffer; readonly done: () => void } | undefined;

  constructor() {
    super({ allowHalfOpen: true });
  }

  start(fd: number, master: number): void {
    this.#master = master;
    this.#socket = adoptDescriptor(fd, {
      onread: {
        buffer: Buffer.allocUnsafe(readBytes),
        callback: (length, buffer) => this.push(Buffer.from(buffer.subarray(0, length))),
      },
    });
    const finish = (): void => {
      this.finish();
    };
    this.#socket.on('error', () => undefined);
    // A write that waits for room would hold up its closing for ever.
    this.#socket.once('end', finish);
    this.#socket.once('close', finish);
    this.#write();
  }

  finish(): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#socket?.destroy();
    for (const chunk of this.#lastWords()) {
      this.push(chunk);
    }
    this.push(null);
    this.#written();
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#isOver) {
      done();
    } else {
      this.#waiting = { chunk, done };
      this.#write();
    }
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#isOver = true;
    this.#socket?.destroy();
    this.#written();
    done(error);
  }

  #write(): void {
    if (this.#waiting !== undefined) {
      this.#socket?.write(this.#waiting.chunk, () => {
        this.#written();
      });
    }
  }

  #written(): void {
    const done = this.#waiting?.done;
    this.#waiting = undefined;
    done?.();
  }

  /** No more than the kernel keeps for a terminal, some 10 KiB. Reading waits for what is on its way there (n_tty). */
  *#lastWords(): Generator<Buffer> {
    for (;;) {
      const buffer = Buffer.allocUnsafe(4096);
      let length = 0;
      try {
        length = this.#master === undefined ? 0 : readSync(this.#master, buffer);
      } catch {
        // EIO: nobody is there any more. EAGAIN: somebody is, and is silent.
      }
      if (length === 0) {
        return;
      }
      yield buffer.subarray(0, length);
    }
  }
}
