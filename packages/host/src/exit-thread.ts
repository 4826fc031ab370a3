// The body of the thread that waits for processes to end: it sleeps in epoll_wait(2)
// and tells the tokens of the descriptors that became readable; token 0 ends it.
import { parentPort, workerData } from 'node:worker_threads';
import { eventBytes, readToken } from './epoll-event.ts';
import { checked, lastErrno, lazily } from './libc.ts';

const epollWait = lazily<[number, Uint8Array, number, number]>('epoll_wait', [
  'int',
  'void *',
  'int',
  'int',
]);
const interrupted = 4; // EINTR
const eventsAtOnce = 64;

const { epollFd } = workerData as { epollFd: number };
const events = Buffer.alloc(eventsAtOnce * eventBytes);

for (let running = true; running; ) {
  const count = epollWait()(epollFd, events, eventsAtOnce, -1);
  if (count === -1 && lastErrno() === interrupted) {
    continue;
  }
  checked(count, 'wait for processes to end');
  const tokens = Array.from({ length: count }, (_, i) => readToken(events, i));
  running = !tokens.includes(0);
  parentPort?.postMessage(tokens);
}
