/** CRC-32C (Castagnoli, reflected), begun with all ones and not inverted at the end: as EROFS wants it. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  }
  return crc >>> 0;
}

const polynomial = 0x82f6_3b78;
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial;
  }
  return crc;
});
