/** The x87's and SSE's state in memory (Intel SDM volume 1, 8.1.10 and 10.5). */

import assert from "node:assert/strict";
import { runRealMode as run } from "../support/real_mode.ts";

const FNINIT = [0xdb, 0xe3];
const FLD1 = [0xd9, 0xe8];
const FLDPI = [0xd9, 0xeb];

Deno.test("FNSTENV shows control, status with TOP, and tags by value; it masks all exceptions", () => {
  // fninit; fldz; fld1; fldcw [2000h]; fnstenv [3000h]; fnstcw [2002h]
  const { view } = run([
    ...[0xc7, 0x06, 0x00, 0x20, 0x72, 0x03], // mov word [2000h], 372h
    ...[...FNINIT, 0xd9, 0xee, ...FLD1],
    ...[0xd9, 0x2e, 0x00, 0x20, 0xd9, 0x36, 0x00, 0x30, 0xd9, 0x3e, 0x02, 0x20],
  ]);
  const words = [0, 2, 4].map((at) => view.getUint16(0x3000 + at, true));
  // ST0 is register 6 and holds 1 (tag 00), register 7 holds 0 (01); the others are empty (11).
  assert.deepEqual(words, [0x372, 6 << 11, 0x4fff]);
  assert.equal(view.getUint16(0x2002, true), 0x37f);
});

Deno.test("FNSAVE and FRSTOR carry the whole stack, FNSAVE leaves it as FNINIT does", () => {
  // fninit; fld1; fldpi; fnsave [3000h]; fnstsw [2000h]; frstor [3000h]; fstp qword [2010h] twice
  const { view } = run([
    ...[...FNINIT, ...FLD1, ...FLDPI],
    ...[0xdd, 0x36, 0x00, 0x30, 0xdd, 0x3e, 0x00, 0x20, 0xdd, 0x26, 0x00, 0x30],
    ...[0xdd, 0x1e, 0x10, 0x20, 0xdd, 0x1e, 0x18, 0x20],
  ]);
  assert.equal(view.getUint16(0x2000, true), 0);
  assert.equal(view.getFloat64(0x2010, true), Math.PI);
  assert.equal(view.getFloat64(0x2018, true), 1);
});

Deno.test("FXSAVE stores the registers from the top of the stack, one tag bit each", () => {
  // fninit; fld1; fldpi; fxsave [3000h]; fninit; fxrstor [3000h]; fstp qword [2000h]
  const { view, state } = run([
    ...[...FNINIT, ...FLD1, ...FLDPI, 0x0f, 0xae, 0x06, 0x00, 0x30, ...FNINIT],
    ...[0x0f, 0xae, 0x0e, 0x00, 0x30, 0xdd, 0x1e, 0x00, 0x20],
  ]);
  assert.equal(view.getUint16(0x3002, true), 6 << 11);
  assert.equal(view.getUint8(0x3004), 0xc0);
  assert.equal(view.getUint16(0x3028, true), 0x4000, "pi's exponent first");
  assert.equal(view.getUint16(0x3038, true), 0x3fff);
  assert.equal(view.getFloat64(0x2000, true), Math.PI);
  // In the common form, too, the top of the stack comes first.
  assert.equal(state.xsave[32 + 9] << 8 | state.xsave[32 + 8], 0x3fff);
});

Deno.test("LDMXCSR refuses reserved bits with #GP, STMXCSR shows what was loaded", () => {
  // mov dword [2000h], 1f80h..; ldmxcsr [2000h]; stmxcsr [2004h]
  const load = (value: number) => [
    ...[0x66, 0xc7, 0x06, 0x00, 0x20],
    ...[0, 8, 16, 24].map((shift) => value >> shift & 0xff),
    ...[0x0f, 0xae, 0x16, 0x00, 0x20, 0x0f, 0xae, 0x1e, 0x04, 0x20],
  ];
  assert.equal(run(load(0x9fc0)).view.getUint32(0x2004, true), 0x9fc0);
  // The handler of #GP at 0:0 is the HLT's neighbour: mov word [13 * 4], 1100h; there: mov [2008h], al
  const { view } = run([
    ...[0xc7, 0x06, 13 * 4, 0x00, 0x80, 0x10, 0xc7, 0x06, 13 * 4 + 2, 0x00, 0, 0],
    ...load(0x1_1f80),
    ...Array(0x80 - 12 - 19).fill(0x90),
    ...[0xc6, 0x06, 0x08, 0x20, 0x77],
  ]);
  assert.equal(view.getUint8(0x2008), 0x77);
  assert.equal(view.getUint32(0x2004, true), 0, "nothing was stored");
});

Deno.test("a vector that reaches beyond the segment gives #GP, also where MASKMOVDQU writes no byte", () => {
  const movups = (at: number) => [0x0f, 0x10, 0x06, at & 0xff, at >> 8];
  assert.equal(run(movups(0xfff0)).vector, -1);
  assert.equal(run(movups(0xfff1)).vector, 13);
  // mov di, ...; pxor xmm1, xmm1; maskmovdqu xmm0, xmm1
  const masked = (at: number) => [
    ...[0xbf, at & 0xff, at >> 8, 0x66, 0x0f, 0xef, 0xc9, 0x66, 0x0f, 0xf7, 0xc1],
  ];
  assert.equal(run(masked(0xfff0)).vector, -1);
  assert.equal(run(masked(0xfff1)).vector, 13);
});

Deno.test("legacy SSE gives #GP for 16 bytes that are not aligned, MOVUPS and PCMPISTRI do not", () => {
  const at2001 = [0x01, 0x20];
  assert.equal(run([0x66, 0x0f, 0xfe, 0x06, ...at2001]).vector, 13, "PADDD");
  assert.equal(run([0x0f, 0x10, 0x06, ...at2001]).vector, -1, "MOVUPS");
  assert.equal(run([0xf2, 0x0f, 0xf0, 0x06, ...at2001]).vector, -1, "LDDQU");
  assert.equal(run([0x66, 0x0f, 0x3a, 0x63, 0x06, ...at2001, 0]).vector, -1, "PCMPISTRI");
});
