/** Single and double precision as 80-bit values and back, NaNs, denormals (SDM volume 1, 4.2.2, 4.8.3). */

import { BIAS, EXPONENT_MAX, Flag, INTEGER_BIT } from "../float80/format.ts";
import { anyOf, exponentOf } from "../float80/library.ts";
import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { type Format, Mxcsr } from "./format.ts";
import type { SseLibrary } from "./signatures.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Bits of the exponent, in place. */
export const exponentBits = ({ fraction, exponent }: Format): bigint =>
  ((1n << BigInt(exponent)) - 1n) << BigInt(fraction);
/** Bits of the fraction. */
export const fractionBits = ({ fraction }: Format): bigint => (1n << BigInt(fraction)) - 1n;
const signBit = ({ fraction, exponent }: Format): bigint => 1n << BigInt(fraction + exponent);
/** The bit that a quiet NaN has set. */
const quietBit = ({ fraction }: Format): bigint => 1n << BigInt(fraction - 1);

export const isNan = (bits: Value, format: Format): Value =>
  v.gtU(
    v.and(bits, i64(exponentBits(format) | fractionBits(format))),
    i64(exponentBits(format)),
  );
/** Of a NaN. */
export const isSignalling = (bits: Value, format: Format): Value =>
  v.eqz(v.and(bits, i64(quietBit(format))));

/** Adds `unpack`, `pack`, `nan` and `denormal` of a format. */
export function defineFormats(lib: SseLibrary, format: Format): void {
  const { name, fraction, exponent: width } = format;
  const bias = (1 << (width - 1)) - 1;
  const maximum = (1 << width) - 1;
  const rebias = BIAS - bias;
  const placed = 63 - fraction;

  lib.define(`unpack${name}`, (c, bits) => {
    const sign = c.let(v.and(v.wrap(v.shrU(bits, i64(fraction + width - 15))), i32(0x8000)));
    const exponent = c.let(v.and(v.wrap(v.shrU(bits, i64(fraction))), i32(maximum)));
    const rest = c.let(v.and(bits, i64(fractionBits(format))));
    c.if(v.eqz(exponent), () => {
      c.if(v.eqz(rest), () => c.return(i64(0), sign));
      const zeros = c.let(v.clz(rest));
      // The least denormal has 63 zeros above it.
      const real = v.sub(i32(rebias + 1 + placed), v.wrap(zeros));
      c.return(v.shl(rest, zeros), v.or(sign, real));
    });
    const infinite = v.eq(exponent, i32(maximum));
    const real = v.select(infinite, i32(EXPONENT_MAX), v.add(exponent, i32(rebias)));
    c.return(v.or(v.shl(rest, i64(placed)), i64(INTEGER_BIT)), v.or(sign, real));
  });

  lib.define(`pack${name}`, (c, significand, se) => {
    const sign = c.let(
      v.shl(v.extendU(v.and(se, i32(0x8000))), i64(fraction + width - 15)),
    );
    c.if(v.eqz(significand), () => c.return(sign));
    const kept = v.and(v.shrU(significand, i64(placed)), i64(fractionBits(format)));
    const real = c.let(exponentOf(se));
    c.if(v.eq(real, i32(EXPONENT_MAX)), () => {
      c.return(anyOf(kept, sign, i64(exponentBits(format))));
    });
    const exponent = c.let(v.sub(real, i32(rebias)));
    c.if(v.leS(exponent, i32(0)), () => {
      const shift = v.sub(i32(placed + 1), exponent);
      c.return(v.or(v.shrU(significand, v.extendU(shift)), sign));
    });
    c.return(anyOf(kept, sign, v.shl(v.extendU(exponent), i64(fraction))));
  });

  // The first operand's, unless only the second is a NaN (SDM volume 1, table 4-7).
  lib.define(`nan${name}`, (c, a, b, _mxcsr) => {
    const aNan = c.let(isNan(a, format));
    const aSignals = v.and(aNan, isSignalling(a, format));
    const bSignals = v.and(isNan(b, format), isSignalling(b, format));
    c.return(
      v.or(v.select(aNan, a, b), i64(quietBit(format))),
      v.shl(v.or(aSignals, bSignals), i32(Math.log2(Flag.IE))),
    );
  });

  lib.define(`denormal${name}`, (c, bits, mxcsr) => {
    const magnitude = v.and(bits, i64(exponentBits(format) | fractionBits(format)));
    const isDenormal = v.ltU(v.sub(magnitude, i64(1)), i64(fractionBits(format)));
    c.if(v.eqz(isDenormal), () => c.return(bits, i32(0)));
    c.if(v.and(mxcsr, i32(Mxcsr.denormalsAreZeros)), () => {
      c.return(v.and(bits, i64(signBit(format))), i32(0));
    });
    c.return(bits, i32(Flag.DE));
  });
}
