/** MXCSR: rounding, flags, exceptions (Intel SDM volume 1, 10.2.3 and 11.5). */

import assert from "node:assert/strict";
import { type Left, OSFXSR, OSXMMEXCPT, runRealMode } from "../support/real_mode.ts";

const DEFAULT = 0x1f80;
const [IE, DE, ZE, OE, UE, PE] = [1, 2, 4, 8, 16, 32];
const DAZ = 1 << 6;
const FZ = 1 << 15;
const rounding = (mode: number) => mode << 13;
const unmasked = (flag: number) => DEFAULT & ~(flag << 7);

const DIVSS = 0x5e;
const ADDSS = 0x58;
const MULSS = 0x59;

interface Result extends Left {
  /** Bits of the lowest lane of XMM0. */
  readonly bits: number;
  readonly mxcsr: number;
}

const bytes = (value: number) => [0, 8, 16, 24].map((shift) => value >>> shift & 0xff);

/** The bits of `a` operated with those of `b` under MXCSR, which is read afterwards. */
function operate(opcode: number, a: number, b: number, mxcsr: number, cr4?: bigint): Result {
  const store = (
    at: number,
    value: number,
  ) => [0x66, 0xc7, 0x06, at & 0xff, at >> 8, ...bytes(value)];
  const left = runRealMode([
    ...[...store(0x2000, a), ...store(0x2004, b), ...store(0x2008, mxcsr)],
    ...[0xf3, 0x0f, 0x10, 0x06, 0x00, 0x20], // movss xmm0, [2000h]
    ...[0x0f, 0xae, 0x16, 0x08, 0x20], // ldmxcsr [2008h]
    ...[0xf3, 0x0f, opcode, 0x06, 0x04, 0x20], // op xmm0, [2004h]
  ], cr4 === undefined ? {} : { cr4 });
  const image = new DataView(left.state.xsave.slice().buffer);
  return { ...left, bits: image.getUint32(160, true), mxcsr: image.getUint32(24, true) };
}

const ONE = 0x3f80_0000;
const MINUS_ONE = 0xbf80_0000;
const THREE = 0x4040_0000;
const LEAST_NORMAL = 0x0080_0000;
const HALF = 0x3f00_0000;
const DENORMAL = 1;

Deno.test("DIVSS rounds 1/3 as RC says, and the flag of inexactness stays (10.2.3.2)", () => {
  const third = (mode: number) => operate(DIVSS, ONE, THREE, DEFAULT | rounding(mode));
  assert.deepEqual([0, 1, 2, 3].map((mode) => third(mode).bits), [
    0x3eaa_aaab,
    0x3eaa_aaaa,
    0x3eaa_aaab,
    0x3eaa_aaaa,
  ]);
  assert.equal(third(0).mxcsr, DEFAULT | PE);
  assert.equal(operate(DIVSS, MINUS_ONE, THREE, DEFAULT | rounding(1)).bits, 0xbeaa_aaab);
});

Deno.test("an exact sum sets no flag (11.5.2.6)", () => {
  const { bits, mxcsr } = operate(ADDSS, ONE, ONE, DEFAULT);
  assert.equal(bits, 0x4000_0000);
  assert.equal(mxcsr, DEFAULT);
});

Deno.test("a denormal operand sets DE, under DAZ it is 0 and sets nothing (10.2.3.4)", () => {
  assert.equal(operate(ADDSS, DENORMAL, 0, DEFAULT).mxcsr, DEFAULT | DE);
  const { bits, mxcsr } = operate(ADDSS, DENORMAL, 0, DEFAULT | DAZ);
  assert.deepEqual([bits, mxcsr], [0, DEFAULT | DAZ]);
});

Deno.test("under FZ a tiny result is 0 with UE and PE (10.2.3.3)", () => {
  const { bits, mxcsr } = operate(MULSS, LEAST_NORMAL, HALF, DEFAULT | FZ);
  assert.deepEqual([bits, mxcsr], [0, DEFAULT | FZ | UE | PE]);
  // Without it, the exact denormal sets nothing.
  assert.equal(operate(MULSS, LEAST_NORMAL, HALF, DEFAULT).mxcsr, DEFAULT);
});

Deno.test("an unmasked exception gives #XM with its flag set and no result (11.5.4)", () => {
  for (
    const [opcode, a, b, flag] of [
      [DIVSS, ONE, 0, ZE],
      [DIVSS, 0, 0, IE],
      [ADDSS, DENORMAL, 0, DE],
      [MULSS, 0x7f00_0000, 0x7f00_0000, OE],
    ] as const
  ) {
    const { vector, bits, mxcsr } = operate(opcode, a, b, unmasked(flag));
    assert.equal(vector, 19);
    assert.equal(mxcsr & flag, flag);
    assert.equal(bits, a);
  }
});

Deno.test("without CR4.OSXMMEXCPT it is #UD (11.5.4)", () => {
  assert.equal(operate(DIVSS, ONE, 0, unmasked(ZE), OSFXSR).vector, 6);
  assert.equal(operate(DIVSS, ONE, 0, unmasked(ZE), OSFXSR | OSXMMEXCPT).vector, 19);
});
