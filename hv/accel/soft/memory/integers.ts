/** Unsigned little-endian integers of 1 to 8 bytes in a memory, as services have them. */

/** `bytes` (1 to 8) at `at`. */
export function readInteger(data: DataView, at: number, bytes: number): bigint {
  switch (bytes) {
    case 1:
      return BigInt(data.getUint8(at));
    case 2:
      return BigInt(data.getUint16(at, true));
    case 4:
      return BigInt(data.getUint32(at, true));
    case 8:
      return data.getBigUint64(at, true);
  }
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = value << 8n | BigInt(data.getUint8(at + i));
  return value;
}

/** The reverse, of the low `bytes` bytes of `value`; in pieces where `bytes` is no power of two. */
export function writeInteger(data: DataView, at: number, bytes: number, value: bigint): void {
  switch (bytes) {
    case 1:
      return data.setUint8(at, Number(value & 0xffn));
    case 2:
      return data.setUint16(at, Number(value & 0xffffn), true);
    case 4:
      return data.setUint32(at, Number(value & 0xffff_ffffn), true);
    case 8:
      return data.setBigUint64(at, value, true);
  }
  for (let i = 0; i < bytes; i++) data.setUint8(at + i, Number(value >> BigInt(8 * i) & 0xffn));
}
