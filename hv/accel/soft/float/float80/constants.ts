/** The constants of FLD1 to FLDZ (Intel SDM volume 1, 8.3.8; volume 2: FLD1...). */

import * as v from "../../wasm/value.ts";
import { BIAS } from "./format.ts";
import type { Float80Library } from "./library.ts";
import { roundsUp } from "./round.ts";

const i32 = v.i32;
const i64 = v.i64;

/** Significand with the bits that follow, exponent; in the order of the opcodes D9 E8 to D9 EE. */
const VALUES: readonly [high: bigint, low: bigint, exponent: number][] = [
  [0x8000_0000_0000_0000n, 0n, 0],
  [0xd49a_784b_cd1b_8afen, 0x492b_f6ff_4daf_db4cn, 1],
  [0xb8aa_3b29_5c17_f0bbn, 0xbe87_fed0_691d_3e88n, 0],
  [0xc90f_daa2_2168_c234n, 0xc4c6_628b_80dc_1cd1n, 1],
  [0x9a20_9a84_fbcf_f798n, 0x8f89_59ac_0b7c_9178n, -2],
  [0xb172_17f7_d1cf_79abn, 0xc9e3_b398_03f2_f6afn, -1],
];

/** Adds `constant` (number, control): rounded as the control word says, no exception, C1 is 0. */
export function defineConstants(lib: Float80Library): void {
  lib.define("constant", (c, number, control) => {
    VALUES.forEach(([high, low, exponent], i) => {
      c.if(v.eq(number, i32(i)), () => {
        const up = roundsUp(c, i32(0), control, i64(high), i64(low));
        c.return(v.add(i64(high), v.extendU(up)), i32(BIAS + exponent));
      });
    });
    c.return(i64(0), i32(0));
  });
}
