/**
 * Shifts and rotates (Intel SDM volume 2: RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD, SHRD, and BMI2's
 * RORX, SARX, SHLX, SHRX).
 *
 * Values of up to 32 bits are shifted as 64-bit ones, so that what falls out is still there. Where
 * the manuals leave a flag undefined, it is what processors have: OF as if the count were 1.
 */

import * as flags from "../codegen/flags.ts";
import type { Handler } from "../codegen/handler.ts";
import * as v from "../wasm/value.ts";
import type { Value } from "../wasm/value.ts";
import { define, type Definition, WORD_SIZES } from "./definition.ts";

const FORMS = ["rr", "mr", "ri", "mi"];
const DOUBLE_FORMS = ["rrr", "mrr", "rri", "mri"];

/** The count, masked to 5 or 6 bits, as an i64 in a variable. */
const maskedCount = (h: Handler, operand: number): Value =>
  h.let(v.and(v.extendU(h.read(operand, 8)), v.i64(h.size === 64 ? 63 : 31)));

const wide = (value: Value): Value => v.extendU(value);
const narrow = (h: Handler, value: Value): Value => h.size === 64 ? value : h.cut(v.wrap(value));
/** Bit `n` of a 64-bit value, as 0 or 1; n beyond 63 gives 0 only where the caller sees to it. */
const bit = (value: Value, n: Value): Value => v.and(v.shrU(value, n), v.i64(1));
const signBit = (h: Handler, value: Value): Value => bit(value, v.i64(h.size - 1));

/**
 * The frame of all of these: nothing but the destination's upper half changes for a count of 0.
 * `operate` returns the result (i64) and sets the flags.
 */
function shift(
  h: Handler,
  count: Value,
  a: Value,
  operate: (a: Value) => { r: Value; setFlags: () => void },
): void {
  h.code.if(v.eqz(count), () => {
    // A destination of 32 bits is written even so; memory is left alone.
    if (h.size === 32 && !h.inMemory(0)) h.write(0, a);
    h.next();
  });
  const { r, setFlags } = operate(h.let(wide(a)));
  h.write(0, narrow(h, r));
  setFlags();
}

const shl = (h: Handler) => {
  const count = maskedCount(h, 1);
  shift(h, count, h.readForWrite(0), (a) => {
    // One less, then one more: a count of the full width must give 0.
    const before = h.let(v.shl(a, v.sub(count, v.i64(1))));
    const r = h.let(v.shl(before, v.i64(1)));
    const out = h.let(signBit(h, before));
    const cut = narrow(h, r);
    return {
      r,
      setFlags: () => flags.setResultFlags(h, h.let(cut), out, v.xor(out, signBit(h, r))),
    };
  });
};

const shrLike = (isSigned: boolean) => (h: Handler) => {
  const count = maskedCount(h, 1);
  shift(h, count, h.readForWrite(0), (unsigned) => {
    const a = isSigned ? h.let(v.extendS(unsigned, h.size)) : unsigned;
    const by = isSigned ? v.shrS : v.shrU;
    const before = h.let(by(a, v.sub(count, v.i64(1))));
    const r = h.let(by(before, v.i64(1)));
    const overflow = isSigned ? v.i64(0) : v.xor(signBit(h, before), signBit(h, r));
    return {
      r,
      setFlags: () =>
        flags.setResultFlags(h, h.let(narrow(h, r)), v.and(before, v.i64(1)), overflow),
    };
  });
};

const rotate = (left: boolean) => (h: Handler) => {
  const count = maskedCount(h, 1);
  shift(h, count, h.readForWrite(0), (a) => {
    const n = h.let(v.and(count, v.i64(h.size - 1)));
    const back = v.and(v.sub(v.i64(h.size), n), v.i64(h.size - 1));
    const r = h.let(
      h.size === 64 ? (left ? v.rotl(a, n) : v.rotr(a, n)) : wide(narrow(
        h,
        v.or(
          v.shl(a, left ? n : back),
          v.shrU(a, left ? back : n),
        ),
      )),
    );
    const top = h.let(signBit(h, r));
    const carry = left ? h.let(v.and(r, v.i64(1))) : top;
    const overflow = v.xor(top, left ? carry : bit(r, v.i64(h.size - 2)));
    return { r, setFlags: () => flags.setCarryAndOverflow(h, carry, overflow) };
  });
};

/** RCL and RCR: rotations of size + 1 bits, one of which is CF. */
const rotateThroughCarry = (left: boolean) => (h: Handler) => {
  const masked = maskedCount(h, 1);
  // 8- and 16-bit counts go round after 9 and 17.
  const count = h.size < 32 ? h.let(v.remU(masked, v.i64(h.size + 1))) : masked;
  shift(h, count, h.readForWrite(0), (a) => {
    const carryIn = h.let(flags.carry(h));
    const n = left ? count : h.let(v.sub(v.i64(h.size + 1), count));
    // As a rotation to the left by n, 1 to size: the upper part, CF, the lower part.
    const upper = v.shl(v.shl(a, v.sub(n, v.i64(1))), v.i64(1));
    const rest = v.sub(v.i64(h.size), n);
    const lower = h.size === 64
      ? v.select(v.eq(n, v.i64(1)), v.i64(0), v.shrU(a, v.sub(v.i64(65), n)))
      : v.shrU(a, v.sub(v.i64(h.size + 1), n));
    const r = h.let(v.or(v.or(upper, lower), v.shl(carryIn, v.sub(n, v.i64(1)))));
    const carry = h.let(bit(a, rest));
    const overflow = left
      ? v.xor(carry, signBit(h, r))
      : v.xor(signBit(h, r), bit(r, v.i64(h.size - 2)));
    return { r, setFlags: () => flags.setCarryAndOverflow(h, carry, overflow) };
  });
};

/** SHLD and SHRD; counts above 16 of 16-bit operands are undefined, and rotate in the source again. */
const double = (left: boolean) => (h: Handler) => {
  const count = maskedCount(h, 2);
  const b = h.let(wide(h.read(1)));
  shift(h, count, h.readForWrite(0), (a) => {
    const size = h.size;
    const bits = v.i64(size);
    let r: Value, before: Value;
    if (size === 64) {
      const less = v.sub(count, v.i64(1));
      const other = v.sub(v.i64(64), count);
      if (left) {
        before = v.shl(a, less);
        r = h.let(v.or(v.shl(a, count), v.shrU(b, other)));
      } else {
        before = v.shrU(a, less);
        r = h.let(v.or(v.shrU(a, count), v.shl(b, other)));
      }
    } else if (size === 32) {
      const joined = h.let(
        left ? v.or(v.shl(a, bits), b) : v.or(a, v.shl(b, bits)),
      );
      if (left) {
        before = v.shrU(v.shl(joined, v.sub(count, v.i64(1))), bits);
        r = h.let(v.shrU(v.shl(joined, count), bits));
      } else {
        before = v.shrU(joined, v.sub(count, v.i64(1)));
        r = h.let(wide(v.wrap(v.shrU(joined, count))));
      }
    } else {
      // 48 bits, the source twice: counts above 16, undefined in the manuals, rotate it in again.
      const twice = h.let(v.or(v.shl(b, v.i64(16)), b));
      const joined = h.let(
        left ? v.or(v.shl(a, v.i64(32)), twice) : v.or(v.shl(twice, v.i64(16)), a),
      );
      if (left) {
        before = v.shrU(v.shl(joined, v.sub(count, v.i64(1))), v.i64(32));
        r = h.let(v.and(v.shrU(v.shl(joined, count), v.i64(32)), v.i64(0xffff)));
      } else {
        before = v.shrU(joined, v.sub(count, v.i64(1)));
        r = h.let(v.and(v.shrU(joined, count), v.i64(0xffff)));
      }
    }
    const carry = h.let(left ? signBit(h, before) : v.and(before, v.i64(1)));
    const overflow = left
      ? v.xor(carry, signBit(h, r))
      : v.xor(signBit(h, r), bit(r, v.i64(size - 2)));
    return {
      r,
      setFlags: () => flags.setResultFlags(h, h.let(narrow(h, r)), carry, overflow),
    };
  });
};

/** BMI2: no flags; the count comes from a whole register. */
const plainShift = (name: string, operate: (a: Value, n: Value) => Value): Definition =>
  define(name, ["rrr", "rmr"], (h) => {
    const count = v.and(h.read(2), h.constant(h.size - 1));
    h.write(0, h.let(operate(h.read(1), count)));
  }, [32, 64]);

/** See above. */
export const SHIFTS: readonly Definition[] = [
  define("shl", FORMS, shl),
  define("shr", FORMS, shrLike(false)),
  define("sar", FORMS, shrLike(true)),
  define("rol", FORMS, rotate(true)),
  define("ror", FORMS, rotate(false)),
  define("rcl", FORMS, rotateThroughCarry(true)),
  define("rcr", FORMS, rotateThroughCarry(false)),
  define("shld", DOUBLE_FORMS, double(true), WORD_SIZES),
  define("shrd", DOUBLE_FORMS, double(false), WORD_SIZES),
  plainShift("shlx", v.shl),
  plainShift("shrx", v.shrU),
  plainShift("sarx", v.shrS),
  define("rorx", ["rri", "rmi"], (h) => {
    h.write(0, h.let(v.rotr(h.read(1), h.read(2))));
  }, [32, 64]),
];
