// The body of the thread that opens sockets in network namespaces: one at a time, all of it synchronous.
import { closeSync, openSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { checked, closeFd, lastErrno, lazily } from './libc.ts';
import type { NetnsSocketReply, NetnsSocketRequest } from './netns-sockets.ts';
import { hasCode, requireCleanPath, systemError } from './system-error.ts';

const setns = lazily<[number, number]>('setns', ['int', 'int']);
const socket = lazily<[number, number, number]>('socket', ['int', 'int', 'int']);

const newNet = 0x40000000; // CLONE_NEWNET
const families = { ipv4: 2, ipv6: 10 } as const; // AF_INET, AF_INET6
const stream = 1 | 0o4000 | 0o2000000; // SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC

/** The thread could not go back to the host's network namespace: it must end. */
class StrandedThread extends RuntimeError {}

// Of this thread, which is in the namespace of the host between two requests.
const host = openSync('/proc/thread-self/ns/net', 'r');

parentPort?.on('message', (request: NetnsSocketRequest) => {
  let reply: NetnsSocketReply;
  try {
    reply = { id: request.id, fd: openSocket(request) };
  } catch (error) {
    const stranded = error instanceof StrandedThread;
    reply = { id: request.id, fault: { kind: kindOf(error), message: messageOf(error), stranded } };
  }
  parentPort?.postMessage(reply);
  if (reply.fault?.stranded === true) {
    process.exit();
  }
});

function openSocket({ path, family }: NetnsSocketRequest): number {
  const doing = `open a socket in network namespace ${path}`;
  requireCleanPath(path, doing);
  const target = openTarget(path, doing);
  let fd = -1;
  try {
    checked(setns()(target, newNet), doing);
    try {
      fd = checked(socket()(families[family], stream, 0), doing);
    } finally {
      goBack(doing, fd);
    }
  } finally {
    closeSync(target);
  }
  return fd;
}

function openTarget(path: string, doing: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    const kind = hasCode(error, 'ENOENT') ? 'not-found' : 'internal';
    throw new RuntimeError(kind, doing, { cause: error });
  }
}

function goBack(doing: string, fd: number): void {
  if (setns()(host, newNet) === -1) {
    const cause = systemError(lastErrno(), "return to the host's network namespace");
    if (fd !== -1) {
      closeFd(fd);
    }
    throw new StrandedThread(cause.kind, doing, { cause });
  }
}
