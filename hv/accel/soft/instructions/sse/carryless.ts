/** PCLMULQDQ: the product of two polynomials over GF(2) (Intel SDM volume 2). */

import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { sse } from "./definition.ts";
import { range } from "./lanes.ts";

/** Every fourth bit. */
const FOURTHS = 0x1111_1111_1111_1111n;

/**
 * Of two values of 32 bits, in 64. Each is taken apart into every fourth bit: in a product of such parts
 * at most eight ones meet at a place, whose sum does not reach the next; its lowest bit is theirs.
 */
function product32(h: Handler, a: Value, b: Value): Value {
  const parts = (x: Value) =>
    range(0, 4).map((i) => h.let(v.and(x, v.i64(BigInt.asIntN(64, FOURTHS << BigInt(i))))));
  const [as, bs] = [parts(a), parts(b)];
  const sums = range(0, 4).map((k) => {
    const products = range(0, 4).map((i) => v.mul(as[i], bs[k - i & 3]));
    const mask = v.i64(BigInt.asIntN(64, FOURTHS << BigInt(k)));
    return v.and(products.reduce(v.xor), mask);
  });
  return h.let(sums.reduce(v.or));
}

/** Of two values of 64 bits, in 128, by three products of halves (Karatsuba). */
function product64(h: Handler, a: Value, b: Value): Value {
  const low = (x: Value) => h.let(v.and(x, v.i64(0xffff_ffff)));
  const high = (x: Value) => h.let(v.shrU(x, v.i64(32)));
  const [al, ah, bl, bh] = [low(a), high(a), low(b), high(b)];
  const lows = product32(h, al, bl);
  const highs = product32(h, ah, bh);
  const all = product32(h, h.let(v.xor(al, ah)), h.let(v.xor(bl, bh)));
  const middle = h.let(v.xor(all, v.xor(lows, highs)));
  const lower = simd.splat64(v.xor(lows, v.shl(middle, v.i64(32))));
  return s.replace64(lower, 1, v.xor(highs, v.shrU(middle, v.i64(32))));
}

/** See above. Bits 0 and 4 of the immediate choose the halves. */
export const CARRYLESS: readonly Definition[] = [
  sse("pclmulqdq", ["rri", "rmi"], (h) => {
    const b = h.readVector(1, true);
    const a = h.readVector(0, true);
    const imm = h.let(h.opField(I32, 8, OP.immediate));
    const half = (x: Value, bit: number) =>
      h.let(v.select(v.and(imm, v.i32(bit)), s.extract64(x, 1), s.extract64(x, 0)));
    h.writeVector(0, product64(h, half(a, 1), half(b, 16)), true);
  }),
];
