/** How often a bus looks at its calls for beats to send and silence to notice. */
export const tickMs = 250;

/** A begun call sends a beat when it has sent nothing for this long. */
export const beatMs = 900;

/** A call that takes longer is told which instance has it, so that its caller can look whether that is still there. */
export const acceptMs = 2;

/** After so long without a word a caller asks the server whether the instance that has its call is still connected. */
export const probeMs = 500;

/** A caller that has not heard for this long that any instance has its call takes the service for dead. */
export const serviceSilenceMs = 3500;

/**
 * One side that the server knows to be connected still, and that says nothing for this long, counts as dead: it hangs. A busy
 * host or a slow disk holds a process up for seconds, and its work must not be torn up for that.
 */
export const hungMs = 20_000;

/** What one side may send of a call beyond what the other side has taken. */
export const windowBytes = 2 << 20;

/** The largest body that one message carries, where the server allows it. */
export const maxPartBytes = (1 << 20) - (16 << 10);

/** A part that is not the last holds at least this: crumbs would cost more than they weigh. */
export const minPartBytes = 1 << 10;

/** What a frame counts in the window beside its body: many empty items are bounded too. */
export const frameOverheadBytes = 256;

/** The largest body that is put together from parts, unless the bus is told otherwise. */
export const defaultMaxBodyBytes = 128 << 20;

/** The part size for a server that takes messages of `maxPayload` bytes, headers included. */
export function partBytesFor(maxPayload: number): number {
  const room = maxPayload >= 64 << 10 ? maxPayload - (16 << 10) : maxPayload >> 1;
  return Math.max(minPartBytes, Math.min(maxPartBytes, room));
}
