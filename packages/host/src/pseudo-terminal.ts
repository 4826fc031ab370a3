import { closeSync, constants, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { adoptDescriptor } from './adopt-descriptor.ts';
import { checked, closeFd, lazily } from './libc.ts';

const ioctl = lazily<[number, number, Uint8Array]>('ioctl', ['int', 'ulong', 'void *']);
const ioctlFlags = lazily<[number, number, number]>('ioctl', ['int', 'ulong', 'long']);
const dup = lazily<[number, number, number]>('fcntl', ['int', 'int', 'long']);

const getAttributes = 0x5401; // TCGETS
const setAttributes = 0x5402; // TCSETS
const setWindowSize = 0x5414; // TIOCSWINSZ
const setLock = 0x40045431; // TIOCSPTLCK
const openPeer = 0x5441; // TIOCGPTPEER
const duplicateCloexec = 1030; // F_DUPFD_CLOEXEC
const peerFlags = constants.O_RDWR | constants.O_NOCTTY | 0o2000000; // O_CLOEXEC
// struct termios of the kernel: iflag, oflag, cflag, lflag, line, cc[19] (asm-generic/termbits.h).
const termiosBytes = 36;
const oflagAt = 4;
const cflagAt = 8;
const controlAt = 17;
const vtime = 5;
const vmin = 6;
const eightBits = 0x30; // CS8, of which CSIZE is the mask
const parity = 0x100; // PARENB
const newlineToReturn = 0o1 | 0o4; // OPOST | ONLCR
const readBytes = 32 << 10;

/**
 * A pseudo-terminal as OCI runtimes want it that copy to one: what comes in
 * passes as it is, and of what goes out each newline gets a carriage return,
 * for runtimes clear that flag of the terminal that they make (ONLCR).
 */
export interface PseudoTerminal extends Disposable {
  /** Ends when nobody holds the other end any more; what is written then is dropped. */
  readonly stream: Duplex;
  /** The end for a child process. The owner hands it on and calls `closePeer`. */
  readonly peerFd: number;
  closePeer(): void;
  /** In characters. Whoever has it as controlling terminal gets SIGWINCH; others must be told. */
  resize(rows: number, columns: number): void;
}

/** Opens one. Disposing of it hangs up the other end. */
export function openPseudoTerminal(): PseudoTerminal {
  const doing = 'open a pseudo-terminal';
  const flags = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK;
  const opened = openSync('/dev/ptmx', flags);
  // A descriptor of our own: the one from node:fs is counted there.
  const master = dup()(opened, duplicateCloexec, 0);
  closeSync(opened);
  checked(master, doing);
  let peerFd: number;
  try {
    checked(ioctl()(master, setLock, Buffer.alloc(4)), doing);
    peerFd = checked(ioctlFlags()(master, openPeer, peerFlags), doing);
    prepare(peerFd, doing);
  } catch (error) {
    closeFd(master);
    throw error;
  }
  return new Master(master, peerFd);
}

class Master implements PseudoTerminal {
  readonly stream: MasterStream;
  readonly peerFd: number;
  readonly #control: number;
  #isPeerOpen = true;
  #isOpen = true;

  constructor(master: number, peerFd: number) {
    this.peerFd = peerFd;
    this.#control = checked(dup()(master, duplicateCloexec, 0), 'keep a pseudo-terminal');
    this.stream = new MasterStream(master);
  }

  closePeer(): void {
    if (this.#isPeerOpen) {
      this.#isPeerOpen = false;
      closeFd(this.peerFd);
    }
  }

  resize(rows: number, columns: number): void {
    if (!this.#isOpen) {
      return;
    }
    const size = Buffer.alloc(8); // struct winsize
    size.writeUInt16LE(rows, 0);
    size.writeUInt16LE(columns, 2);
    checked(ioctl()(this.#control, setWindowSize, size), 'resize a pseudo-terminal');
  }

  [Symbol.dispose](): void {
    this.closePeer();
    if (this.#isOpen) {
      this.#isOpen = false;
      closeFd(this.#control);
      this.stream.destroy();
    }
  }
}

/**
 * The master as a stream. The kernel tells the end of a terminal by EIO, for which Node would
 * throw away what it has read and not handed on: so nothing is kept in its socket.
 */
class MasterStream extends Duplex {
  readonly #socket: Socket;

  constructor(fd: number) {
    super({ allowHalfOpen: true });
    this.#socket = adoptDescriptor(fd, {
      onread: {
        buffer: Buffer.allocUnsafe(readBytes),
        callback: (length, buffer) => this.push(Buffer.from(buffer.subarray(0, length))),
      },
    });
    this.#socket.on('error', () => undefined);
    this.#socket.once('close', () => this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#socket.destroyed) {
      done();
    } else {
      this.#socket.write(chunk, () => {
        done();
      });
    }
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

function prepare(fd: number, doing: string): void {
  const termios = Buffer.alloc(termiosBytes);
  checked(ioctl()(fd, getAttributes, termios), doing);
  const cflag = (termios.readUInt32LE(cflagAt) & ~parity) | eightBits;
  termios.fill(0, 0, cflagAt + 8);
  termios.writeUInt32LE(newlineToReturn, oflagAt);
  termios.writeUInt32LE(cflag, cflagAt);
  termios[controlAt + vmin] = 1;
  termios[controlAt + vtime] = 0;
  checked(ioctl()(fd, setAttributes, termios), doing);
}
