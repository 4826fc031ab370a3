import { createHash } from 'node:crypto';

/*
 * The metadata of an image on disk: an EROFS file system, and behind it, where
 * no kernel looks, what it needs to be mounted and a checksum of all of it. It
 * is made of the layers' indexes in milliseconds, so it is never synced: what
 * does not match is made anew.
 *
 *   file system, devices as JSON, length of that (4), sha256 (32), mark (8)
 */

const mark = Buffer.from('GANTRYEI');
const tailBytes = 4 + 32 + mark.length;

/** A file that the file system points into. */
export interface ChainDevice {
  /** Below the directory of the layers. */
  readonly path: string;
  readonly bytes: number;
}

/** Puts the parts together. */
export function sealChain(image: Buffer, devices: readonly ChainDevice[]): Buffer {
  const list = Buffer.from(JSON.stringify(devices));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(list.length);
  const sum = createHash('sha256').update(image).update(list).update(length).digest();
  return Buffer.concat([image, list, length, sum, mark]);
}

/** The devices of a chain file that is whole; undefined for any other. */
export function openChain(file: Buffer): readonly ChainDevice[] | undefined {
  const tail = file.subarray(-tailBytes);
  if (tail.length < tailBytes || !tail.subarray(-mark.length).equals(mark)) {
    return undefined;
  }
  const body = file.subarray(0, file.length - tailBytes + 4);
  const sum = createHash('sha256').update(body).digest();
  if (!sum.equals(tail.subarray(4, 36))) {
    return undefined;
  }
  const end = file.length - tailBytes;
  const list = file.subarray(end - tail.readUInt32LE(0), end);
  return JSON.parse(list.toString()) as ChainDevice[];
}
