import { systemError } from './system-error.ts';

const unix = 1; // AF_UNIX
const sunPathBytes = 108;
const nameTooLong = 36; // ENAMETOOLONG

/** struct sockaddr_un. Throws where the path is too long for one. */
export function unixAddress(path: string, doing: string): Buffer {
  const address = Buffer.alloc(2 + sunPathBytes);
  if (Buffer.byteLength(path) >= sunPathBytes) {
    throw systemError(nameTooLong, doing);
  }
  address.writeUInt16LE(unix, 0);
  address.write(path, 2);
  return address;
}
