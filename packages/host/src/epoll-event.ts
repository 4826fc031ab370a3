// struct epoll_event is packed on x86 only (include/uapi/linux/eventpoll.h).
const isPacked = process.arch === 'x64';
const tokenAt = isPacked ? 4 : 8;

/** Size of struct epoll_event. */
export const eventBytes = isPacked ? 12 : 16;

/** One struct epoll_event that carries `token`, which is at most 2^32 - 1. */
export function epollEvent(events: number, token: number): Buffer {
  const event = Buffer.alloc(eventBytes);
  event.writeUInt32LE(events, 0);
  event.writeUInt32LE(token, tokenAt);
  return event;
}

/** The token of the event at `index` of an array of struct epoll_event. */
export function readToken(events: Buffer, index: number): number {
  return events.readUInt32LE(index * eventBytes + tokenAt);
}
