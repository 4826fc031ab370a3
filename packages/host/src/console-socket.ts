import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { checked, closeFd, lastErrno, lazily, pointerTo } from './libc.ts';
import { requireCleanPath, systemError } from './system-error.ts';
import { unixAddress } from './unix-address.ts';

const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);
const bind = lazily<[number, Uint8Array, number]>('bind', ['int', 'void *', 'int']);
const listen = lazily<[number, number]>('listen', ['int', 'int']);
const accept = lazily<[number, null, null, number]>('accept4', ['int', 'void *', 'void *', 'int']);
const receiveMessage = lazily<[number, Uint8Array, number]>('recvmsg', ['int', 'void *', 'int']);

const unix = 1; // AF_UNIX
const nonBlocking = 0o4000; // SOCK_NONBLOCK
const closeOnExec = 0o2000000; // SOCK_CLOEXEC
const stream = 1; // SOCK_STREAM
const pathOnly = 0o10000000; // O_PATH
const again = 11; // EAGAIN
const receiveFlags = 0x40 | 0x40000000; // MSG_DONTWAIT | MSG_CMSG_CLOEXEC
const passesDescriptors = 1; // SCM_RIGHTS, of level SOL_SOCKET, which is 1 as well

/**
 * Where an OCI runtime delivers the terminal that it has made (`--console-socket`): a socket over
 * which one message with the descriptor of the master comes (runc, docs/terminals.md).
 */
export interface ConsoleSocket extends Disposable {
  /** For the runtime: valid while this process lives. Short, however long the real path is. */
  readonly path: string;
  /**
   * The master, once, to be closed by `closeFd` or handed on; undefined when none has come. The runtime does
   * not wait for an answer, so when it has ended its message is here.
   */
  receive(): number | undefined;
}

/** Listens at `path`, which must not be there yet. Disposing of it removes the path, and with it a terminal that nobody has received. */
export function listenForConsole(path: string): ConsoleSocket {
  const doing = `listen at ${path}`;
  requireCleanPath(path, doing);
  using undo = new DisposableStack();
  // By way of the directory's descriptor, for a socket's path has no more than 107 bytes.
  const directory = undo.adopt(
    openSync(dirname(path), pathOnly | constants.O_DIRECTORY),
    closeSync,
  );
  const nameIn = (pid: string): string => `/proc/${pid}/fd/${String(directory)}/${basename(path)}`;
  const fd = undo.adopt(
    checked(socket()(unix, stream | nonBlocking | closeOnExec, 0), doing),
    closeFd,
  );
  const address = unixAddress(nameIn('self'), doing);
  checked(bind()(fd, address, address.length), doing);
  undo.defer(() => rmSync(path, { force: true }));
  checked(listen()(fd, 1), doing);
  const open = undo.move();
  return {
    path: nameIn(String(process.pid)),
    receive: () => receive(fd),
    [Symbol.dispose]: () => open.dispose(),
  };
}

function receive(listener: number): number | undefined {
  const doing = 'receive a terminal';
  const connection = accept()(listener, null, null, closeOnExec);
  if (connection === -1) {
    return nothingOr(doing);
  }
  try {
    // Larger than what the engine keeps among its own objects, which it moves.
    const [data, control, message] = [Buffer.alloc(4096), Buffer.alloc(128), Buffer.alloc(128)];
    const parts = Buffer.alloc(128);
    // struct iovec, and struct msghdr that points to it: 64-bit systems alone have Node 24.
    parts.writeBigUInt64LE(pointerTo(data), 0);
    parts.writeBigUInt64LE(BigInt(data.length), 8);
    message.writeBigUInt64LE(pointerTo(parts), 16);
    message.writeBigUInt64LE(1n, 24);
    message.writeBigUInt64LE(pointerTo(control), 32);
    // Room for one descriptor: more would be closed by the kernel.
    message.writeBigUInt64LE(24n, 40);
    if (receiveMessage()(connection, message, receiveFlags) === -1) {
      return nothingOr(doing);
    }
    const hasOne =
      message.readBigUInt64LE(40) >= 20n && control.readInt32LE(12) === passesDescriptors;
    return hasOne ? control.readInt32LE(16) : undefined;
  } finally {
    closeFd(connection);
  }
}

function nothingOr(doing: string): undefined {
  const errno = lastErrno();
  if (errno !== again) {
    throw systemError(errno, doing);
  }
  return undefined;
}
