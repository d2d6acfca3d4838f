/** Refcounts of 1 to 64 bits: big-endian, those narrower than a byte from its lowest bit on. */

/** The count number `index` of a part of a block. */
export function readCount(view: DataView, index: number, bits: number): number {
  switch (bits) {
    case 64:
      return Number(view.getBigUint64(index * 8));
    case 32:
      return view.getUint32(index * 4);
    case 16:
      return view.getUint16(index * 2);
    case 8:
      return view.getUint8(index);
  }
  const bit = index * bits;
  return (view.getUint8(bit >> 3) >> (bit & 7)) & (2 ** bits - 1);
}

/** Sets it; `value` has to fit. */
export function writeCount(view: DataView, index: number, bits: number, value: number): void {
  switch (bits) {
    case 64:
      return view.setBigUint64(index * 8, BigInt(value));
    case 32:
      return view.setUint32(index * 4, value);
    case 16:
      return view.setUint16(index * 2, value);
    case 8:
      return view.setUint8(index, value);
  }
  const bit = index * bits;
  const mask = (2 ** bits - 1) << (bit & 7);
  const byte = view.getUint8(bit >> 3) & ~mask;
  view.setUint8(bit >> 3, byte | (value << (bit & 7)));
}
