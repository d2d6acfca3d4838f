/** Compare and exchange in guest memory, by size. */

/** Views of one buffer, made once for each. */
interface Views {
  readonly b: Uint8Array;
  readonly w: Uint16Array;
  readonly d: Uint32Array;
  readonly q: BigUint64Array;
}

const made = new WeakMap<ArrayBufferLike, Views>();

function viewsOf({ buffer }: Uint8Array): Views {
  const known = made.get(buffer);
  if (known !== undefined) return known;
  const views = {
    b: new Uint8Array(buffer),
    w: new Uint16Array(buffer),
    d: new Uint32Array(buffer),
    q: new BigUint64Array(buffer),
  };
  made.set(buffer, views);
  return views;
}

/**
 * Puts the low bytes of `value` at `offset`, if what lies there is `expected`, in one atomic step; gives
 * what was there. `size` is 1, 2, 4 or 8 bytes and `offset` a multiple of it.
 */
export function exchangeIn(
  memory: Uint8Array,
  offset: number,
  size: number,
  expected: bigint,
  value: bigint,
): bigint {
  const { b, w, d, q } = viewsOf(memory);
  if (size === 8) return Atomics.compareExchange(q, offset / 8, expected, value);
  const cut = Number(BigInt.asUintN(size * 8, value));
  const before = Number(expected);
  switch (size) {
    case 1:
      return BigInt(Atomics.compareExchange(b, offset, before, cut));
    case 2:
      return BigInt(Atomics.compareExchange(w, offset / 2, before, cut));
    default:
      return BigInt(Atomics.compareExchange(d, offset / 4, before, cut));
  }
}
