import { closeSync, constants, openSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { checked, closeFd, lazily } from './libc.ts';
import { TerminalMaster } from './terminal-master.ts';

const ioctl = lazily<[number, number, Uint8Array]>('ioctl', ['int', 'ulong', 'void *']);
const ioctlFlags = lazily<[number, number, number]>('ioctl', ['int', 'ulong', 'long']);
const dup = lazily<[number, number, number]>('fcntl', ['int', 'int', 'long']);

const getAttributes = 0x5401; // TCGETS
const setAttributes = 0x5402; // TCSETS
const setLock = 0x40045431; // TIOCSPTLCK
const openPeer = 0x5441; // TIOCGPTPEER
const duplicateCloexec = 1030; // F_DUPFD_CLOEXEC
const peerFlags = constants.O_RDWR | constants.O_NOCTTY | 0o2000000; // O_CLOEXEC
// struct termios of the kernel: iflag, oflag, cflag, lflag, line, cc[19] (asm-generic/termbits.h).
const termiosBytes = 36;
const cflagAt = 8;
const controlAt = 17;
const vtime = 5;
const vmin = 6;
const eightBits = 0x30; // CS8, of which CSIZE is the mask
const parity = 0x100; // PARENB

/** A terminal in raw mode, as a window of a person is for a program that has set it so. */
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
  const opened = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  // A descriptor of our own: the one from node:fs is counted there.
  const fd = dup()(opened, duplicateCloexec, 0);
  closeSync(opened);
  checked(fd, doing);
  let peerFd: number;
  try {
    checked(ioctl()(fd, setLock, Buffer.alloc(4)), doing);
    peerFd = checked(ioctlFlags()(fd, openPeer, peerFlags), doing);
    makeRaw(peerFd, doing);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  const master = new TerminalMaster();
  master.open(fd);
  let isPeerOpen = true;
  const closePeer = (): void => {
    if (isPeerOpen) {
      isPeerOpen = false;
      closeFd(peerFd);
    }
  };
  return {
    stream: master.stream,
    peerFd,
    closePeer,
    resize: (rows, columns) => {
      master.resize(rows, columns);
    },
    [Symbol.dispose]: () => {
      closePeer();
      master[Symbol.dispose]();
    },
  };
}

function makeRaw(fd: number, doing: string): void {
  const termios = Buffer.alloc(termiosBytes);
  checked(ioctl()(fd, getAttributes, termios), doing);
  const cflag = (termios.readUInt32LE(cflagAt) & ~parity) | eightBits;
  termios.fill(0, 0, cflagAt + 8);
  termios.writeUInt32LE(cflag, cflagAt);
  termios[controlAt + vmin] = 1;
  termios[controlAt + vtime] = 0;
  checked(ioctl()(fd, setAttributes, termios), doing);
}
