/**
 * How PCMPESTRI and its kin compare two strings (Intel SDM volume 2, 4.1): functions of the module, one
 * for bytes and one for words.
 */

import { Code } from "../../wasm/code.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Type, V128, type Value } from "../../wasm/value.ts";

/** Bits of the immediate. */
export const Immediate = {
  words: 1 << 0,
  signed: 1 << 1,
  /** Bits 2 and 3. */
  aggregation: 2,
  negative: 1 << 4,
  /** With `negative`: only as far as the second string goes. */
  masked: 1 << 5,
  /** The index is that of the last element; a mask is of whole elements. */
  last: 1 << 6,
} as const;

/** Values of the aggregation field. */
const [EQUAL_ANY, RANGES, EQUAL_EACH] = [0, 1, 2];

/** (a, b, length of a, length of b, immediate) → one bit for each element of b. */
export const STRING_COMPARISON: readonly [parameters: readonly Type[], results: readonly Type[]] = [
  [V128, V128, I32, I32, I32],
  [I32],
];

/** What elements of 8 or 16 bits need. */
const elements = (bits: 8 | 16) =>
  bits === 8
    ? { splat: simd.splat8, equal: simd.eq8, greater: simd.gtS8, mask: simd.bitmask8, most: 0x80 }
    : {
      splat: simd.splat16,
      equal: simd.eq16,
      greater: simd.gtS16,
      mask: simd.bitmask16,
      most: 0x8000,
    };

/** Bits of the elements below a length. */
const below = (length: Value): Value => v.sub(v.shl(v.i32(1), length), v.i32(1));

/** How many elements come before the first 0. */
export const implicitLength = (bits: 8 | 16, text: Value): Value => {
  const { equal, mask } = elements(bits);
  return v.ctz(v.or(mask(equal(text, s.ZERO)), v.i32(1 << 128 / bits)));
};

/** The function for elements of `bits`. */
export function stringComparison(bits: 8 | 16): Code {
  const code = new Code(STRING_COMPARISON[0]);
  const [a, b, aLength, bLength, imm] = STRING_COMPARISON[0].map((_, n) => code.parameter(n));
  const { splat, equal, greater, mask, most } = elements(bits);
  const all = v.i32((1 << 128 / bits) - 1);
  const result = code.local(I32);
  const valid = code.let(below(bLength));
  const kind = code.let(v.and(v.shrU(imm, v.i32(Immediate.aggregation)), v.i32(3)));
  const hasSign = v.and(imm, v.i32(Immediate.signed));
  // Unsigned elements are compared as signed ones with the sign turned round.
  const bias = code.let(splat(v.select(hasSign, v.i32(0), v.i32(most))));
  const turned = code.let(simd.xor(b, bias));
  const i = code.local(I32);
  /** Element i + `more` of a, in every lane. */
  const one = (more: number) => {
    const n = v.add(i, v.i32(more));
    const index = bits === 8
      ? simd.splat8(n)
      : simd.splat16(v.add(v.mul(n, v.i32(0x202)), v.i32(0x100)));
    return simd.swizzle(a, index);
  };
  const equals = () => v.and(mask(equal(b, one(0))), valid);
  const eachOf = (step: number, limit: Value, body: () => void) => {
    code.block((done) => {
      code.loop((again) => {
        code.branchIf(done, v.geS(i, limit));
        body();
        code.set(i, v.add(i, v.i32(step)));
        code.branch(again);
      });
    });
  };
  const join = (found: Value) => code.set(result, v.or(result, found));
  code.if(v.eq(kind, v.i32(EQUAL_ANY)), () => eachOf(1, aLength, () => join(equals())), () => {
    code.if(v.eq(kind, v.i32(RANGES)), () => {
      eachOf(2, v.sub(aLength, v.i32(1)), () => {
        const outside = simd.or(
          greater(simd.xor(one(0), bias), turned),
          greater(turned, simd.xor(one(1), bias)),
        );
        join(v.and(mask(simd.not(outside)), valid));
      });
    }, () => {
      code.if(v.eq(kind, v.i32(EQUAL_EACH)), () => {
        const mine = code.let(below(aLength));
        const same = v.and(mask(equal(a, b)), v.and(mine, valid));
        // What is beyond the ends of both is equal.
        code.set(result, v.or(same, v.xor(v.or(mine, valid), all)));
      }, () => {
        // Equal ordered: the whole of a from this element on, as far as the vector reaches.
        code.set(result, all);
        eachOf(1, aLength, () => {
          const beyond = v.xor(v.shrU(all, i), all);
          code.set(result, v.and(result, v.or(v.shrU(equals(), i), beyond)));
        });
      });
    });
  });
  const reach = v.select(v.and(imm, v.i32(Immediate.masked)), valid, all);
  const turning = v.select(v.and(imm, v.i32(Immediate.negative)), reach, v.i32(0));
  code.return(v.xor(result, turning));
  code.unreachable();
  return code;
}
