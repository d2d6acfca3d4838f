/** Flags that instructions leave undefined (Intel SDM volume 1, appendix A.2; volume 2). */

import { AF, ARITHMETIC, CF, OF, PF, SF, ZF } from "../../../../hv/accel/soft/state/flags_word.ts";

const LOGIC = AF;
const SHIFT = AF | OF | CF;
const ROTATE = OF;
const BIT_TEST = OF | SF | AF | PF;
const MULTIPLY = SF | ZF | AF | PF;

const MASKS: Readonly<Record<string, number>> = {
  and: LOGIC,
  or: LOGIC,
  xor: LOGIC,
  test: LOGIC,
  andn: AF | PF,
  shld: ARITHMETIC,
  shrd: ARITHMETIC,
  shl: SHIFT,
  shr: SHIFT,
  sar: SHIFT,
  rol: ROTATE,
  ror: ROTATE,
  rcl: ROTATE,
  rcr: ROTATE,
  mul: MULTIPLY,
  imul: MULTIPLY,
  imul2: MULTIPLY,
  imul3: MULTIPLY,
  div: ARITHMETIC,
  idiv: ARITHMETIC,
  bt: BIT_TEST,
  bts: BIT_TEST,
  btr: BIT_TEST,
  btc: BIT_TEST,
  bsf: ARITHMETIC & ~ZF,
  bsr: ARITHMETIC & ~ZF,
  tzcnt: OF | SF | AF | PF,
  lzcnt: OF | SF | AF | PF,
  blsr: AF | PF,
  blsi: AF | PF,
  blsmsk: AF | PF,
  bextr: AF | SF | PF,
  bzhi: AF | PF,
};

/** Bits of EFLAGS that the instruction does not define. */
export const undefinedFlags = (name: string): number => MASKS[name] ?? 0;
