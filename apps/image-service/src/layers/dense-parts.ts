/** What file systems give a file at a time: a hole of less saves nothing. */
const blockBytes = 4096;
const zeros = Buffer.alloc(blockBytes);

/**
 * Tells `take` the parts of `bytes`, from `start` to `end`, that are not blocks
 * of zeros, or zeros at either end, in order; `position` is where in a file the
 * first byte goes. The rest may be left out of a new file: what lies between is a
 * hole, reads as zeros, takes no disk, and needs no write.
 */
export function forDenseParts(
  bytes: Buffer,
  position: number,
  take: (start: number, end: number) => void,
): void {
  let from = 0;
  for (let at = 0, next = 0; at < bytes.length; at = next) {
    next = Math.min(at + blockBytes - ((position + at) % blockBytes), bytes.length);
    if (isZero(bytes, at, next)) {
      if (at > from) {
        take(from, at);
      }
      from = next;
    }
  }
  if (from < bytes.length) {
    take(from, bytes.length);
  }
}

/** Counts those parts. */
export function denseLength(bytes: Buffer, position: number): number {
  let length = 0;
  forDenseParts(bytes, position, (start, end) => {
    length += end - start;
  });
  return length;
}

/** Most blocks that are not zeros show it at once; the rest are compared. */
function isZero(bytes: Buffer, start: number, end: number): boolean {
  return (
    bytes[start] === 0 &&
    bytes[end - 1] === 0 &&
    zeros.compare(bytes, start, end, 0, end - start) === 0
  );
}
