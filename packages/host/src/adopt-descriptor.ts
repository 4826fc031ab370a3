import { type OnReadOpts, Socket } from 'node:net';
import { checked, closeFd, lazily } from './libc.ts';

const socketpair = lazily<[number, number, number, Uint8Array]>('socketpair', [
  'int',
  'int',
  'int',
  'void *',
]);
const dup3 = lazily<[number, number, number]>('dup3', ['int', 'int', 'int']);

const unix = 1; // AF_UNIX
const streamCloexec = 1 | 0o2000000; // SOCK_STREAM | SOCK_CLOEXEC
const closeOnExec = 0o2000000; // O_CLOEXEC

export interface AdoptOptions {
  readonly allowHalfOpen?: boolean;
  /** Reads go there and not into the socket's own buffer, as `net.connect` has it. */
  readonly onread?: OnReadOpts;
}

/**
 * Has Node's event loop read and write a descriptor of a kind that `node:net` refuses, such as a
 * SOCK_SEQPACKET socket or the master of a pseudo-terminal: anything that poll(2), read(2) and
 * write(2) work on. Node looks at the kind once and keeps the number, so a socket that it takes is
 * put there first and replaced at once. `fd` must be non-blocking, and is closed here.
 */
export function adoptDescriptor(fd: number, options: AdoptOptions = {}): Socket {
  const doing = 'adopt a descriptor';
  const pair = Buffer.alloc(8);
  try {
    checked(socketpair()(unix, streamCloexec, 0, pair), doing);
  } catch (error) {
    closeFd(fd);
    throw error;
  }
  const [place, other] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  const socket = new Socket({ fd: place, readable: true, writable: true, ...options });
  try {
    // Before this turn of the loop ends: the loop has not looked at the number yet.
    checked(dup3()(fd, place, closeOnExec), doing);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    closeFd(other);
    closeFd(fd);
  }
  return socket;
}
