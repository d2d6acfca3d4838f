/**
 * Rounding of a result to its format (Intel SDM volume 1: 4.8.4 rounding, 8.1.5.2 precision control,
 * 8.5.4 overflow, 8.5.5 underflow, 8.5.6 inexact result).
 */

import type { Code } from "../../wasm/code.ts";
import * as v from "../../wasm/value.ts";
import type { Value } from "../../wasm/value.ts";
import { Control, EXPONENT_MAX, Flag, INTEGER_BIT, WRAP } from "./format.ts";
import {
  anyOf,
  carried,
  flagIf,
  flags,
  type Float80Library,
  has,
  isUnmasked,
  variable,
} from "./library.ts";

const i32 = v.i32;
const i64 = v.i64;

const HALF = INTEGER_BIT;

/** Does rounding of this sign go away from zero? Directed modes only. */
export function isAway(sign: Value, control: Value): Value {
  const mode = v.and(control, i32(Control.rounding));
  return v.or(
    v.and(v.eq(mode, i32(Control.down)), v.ne(sign, i32(0))),
    v.and(v.eq(mode, i32(Control.up)), v.eqz(sign)),
  );
}

/**
 * Does a magnitude go up by a unit? 0 or 1. `odd` (i64): its last bit; `rest`: what lies below, as a
 * fraction of 64 bits whose last bit stands for everything further down.
 */
export function roundsUp(
  code: Code,
  sign: Value,
  control: Value,
  odd: Value,
  rest: Value,
): Value {
  const up = code.local(v.I32);
  code.if(has(control, Control.rounding), () => {
    code.set(up, v.and(isAway(sign, control), v.ne(rest, i64(0))));
  }, () => {
    const aboveHalf = v.or(v.extendU(v.ne(v.shl(rest, i64(1)), i64(0))), v.and(odd, i64(1)));
    code.set(up, v.wrap(v.and(v.shrU(rest, i64(63)), aboveHalf)));
  });
  return up;
}

/** PE when `rest` is not 0, and C1. */
const inexact = (rest: Value, up: Value): Value =>
  v.or(flagIf(v.ne(rest, i64(0)), Flag.PE), flagIf(up, Flag.C1));

/** Adds `round` and what it needs. */
export function defineRounding(lib: Float80Library): void {
  lib.define("round", (c, sign, exponent, high, low, control) => {
    const full = v.eq(v.and(control, i32(Control.precision)), i32(Control.precision64));
    const far = v.ltU(v.sub(exponent, i32(1)), i32(EXPONENT_MAX - 2));
    c.if(v.eqz(v.and(full, far)), () => {
      lib.tail(c, "roundSpecial", sign, exponent, high, low, control);
    });
    const up = roundsUp(c, sign, control, high, low);
    const packed = variable(c, anyOf(carried(control), sign, exponent, inexact(low, up)));
    c.set(high, v.add(high, v.extendU(up)));
    c.if(v.eqz(high), () => {
      c.set(high, i64(INTEGER_BIT));
      c.set(packed, v.add(packed, i32(1)));
    });
    c.return(high, packed);
  });

  lib.define("roundSpecial", (c, sign, exponent, high, low, control) => {
    c.if(has(control, Control.toSingle | Control.toDouble), () => {
      lib.tail(c, "roundNarrow", sign, exponent, high, low, control);
    });
    const precision = v.and(control, i32(Control.precision));
    const drop = c.let(v.select(
      v.eqz(precision),
      i64(40),
      v.select(v.eq(precision, i32(Control.precision53)), i64(11), i64(0)),
    ));
    const unit = c.let(v.shl(i64(1), drop));
    const mask = c.let(v.sub(unit, i64(1)));
    const restOf = () =>
      c.let(v.select(
        v.eqz(drop),
        low,
        v.or(v.shl(high, v.sub(i64(64), drop)), v.extendU(v.ne(low, i64(0)))),
      ));
    const kept = () => v.and(high, v.xor(mask, i64(-1)));
    const flagsOut = variable(c, carried(control));

    c.if(v.leS(exponent, i32(0)), () => {
      // Tiny means: so after rounding, had the exponent no bound.
      const up = roundsUp(c, sign, control, v.shrU(high, drop), restOf());
      const carry = v.and(up, v.eq(v.or(high, mask), i64(-1)));
      const tiny = c.let(v.or(v.ltS(exponent, i32(0)), v.eqz(carry)));
      c.if(v.and(tiny, isUnmasked(control, Flag.UE)), () => {
        c.set(exponent, v.add(exponent, i32(WRAP)));
        c.set(flagsOut, v.or(flagsOut, flags(Flag.UE)));
        // Only FSCALE gets so far down.
        c.if(v.leS(exponent, i32(0)), () => {
          c.return(i64(0), anyOf(flagsOut, flags(Flag.PE), sign));
        });
      }, () => {
        lib.into(c, [high, low], "shiftRightJam", high, low, v.sub(i32(1), exponent));
        const rest = restOf();
        const roundedUp = roundsUp(c, sign, control, v.shrU(high, drop), rest);
        c.set(high, v.add(kept(), v.shl(v.extendU(roundedUp), drop)));
        const isInexact = c.let(v.ne(rest, i64(0)));
        c.return(
          high,
          anyOf(
            flagsOut,
            sign,
            v.ltS(high, i64(0)),
            inexact(rest, roundedUp),
            flagIf(v.and(isInexact, tiny), Flag.UE),
          ),
        );
      });
    });

    const rest = restOf();
    const up = roundsUp(c, sign, control, v.shrU(high, drop), rest);
    c.set(high, v.add(kept(), v.shl(v.extendU(up), drop)));
    c.if(v.eqz(high), () => {
      c.set(high, i64(HALF));
      c.set(exponent, v.add(exponent, i32(1)));
    });
    c.if(v.geS(exponent, i32(EXPONENT_MAX)), () => {
      const unmasked = c.let(isUnmasked(control, Flag.OE));
      // Only FSCALE gets so far.
      const beyond = c.let(v.and(unmasked, v.geS(exponent, i32(EXPONENT_MAX + WRAP))));
      c.set(flagsOut, v.or(flagsOut, flags(Flag.OE)));
      c.if(v.or(v.eqz(unmasked), beyond), () => {
        const toInfinity = anyOf(
          beyond,
          v.eqz(has(control, Control.rounding)),
          isAway(sign, control),
        );
        c.set(flagsOut, v.or(flagsOut, flags(Flag.PE)));
        c.if(toInfinity, () => {
          c.return(
            i64(INTEGER_BIT),
            anyOf(flagsOut, sign, i32(EXPONENT_MAX), flags(Flag.C1)),
          );
        });
        c.return(
          v.xor(mask, i64(-1)),
          anyOf(flagsOut, sign, i32(EXPONENT_MAX - 1)),
        );
      });
      c.set(exponent, v.sub(exponent, i32(WRAP)));
    });
    c.return(high, anyOf(flagsOut, sign, exponent, inexact(rest, up)));
  });

  lib.define("shiftRightJam", (c, high, low, count) => {
    const n = c.let(v.extendU(count));
    const lost = (value: Value) => v.extendU(v.ne(value, i64(0)));
    c.if(v.eqz(count), () => c.return(high, low));
    c.if(v.ltU(count, i32(64)), () => {
      const back = v.sub(i64(64), n);
      c.return(
        v.shrU(high, n),
        anyOf(v.shrU(low, n), v.shl(high, back), lost(v.shl(low, back))),
      );
    });
    c.if(v.eq(count, i32(64)), () => c.return(i64(0), v.or(high, lost(low))));
    c.if(v.ltU(count, i32(128)), () => {
      const out = v.or(low, v.shl(high, v.sub(i64(128), n)));
      c.return(i64(0), v.or(v.shrU(high, v.sub(n, i64(64))), lost(out)));
    });
    c.return(i64(0), lost(v.or(high, low)));
  });
}
