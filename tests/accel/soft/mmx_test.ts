/** MMX and the x87's registers, and what keeps MMX from running (Intel SDM volume 1, chapter 9). */

import assert from "node:assert/strict";
import { NE, runRealMode as run } from "./support/real_mode.ts";

const EM = 4n;
const TS = 8n;

const MOVQ_MM1_MM2 = [0x0f, 0x6f, 0xca];
const EMMS = [0x0f, 0x77];
const FNINIT = [0xdb, 0xe3];
const FLD1 = [0xd9, 0xe8];

/** FXSAVE [3000h]. */
const FXSAVE = [0x0f, 0xae, 0x06, 0x00, 0x30];
/** MOV DWORD [2000h], value; FLDCW [2000h]. */
const loadControl = (word: number) => [
  ...[0xc7, 0x06, 0x00, 0x20, word & 0xff, word >> 8],
  ...[0xd9, 0x2e, 0x00, 0x20],
];
/** 1 / 0 with that exception unmasked: it waits. */
const DIVISION_BY_ZERO = [
  ...[...FNINIT, ...loadControl(0x37b), ...FLD1, 0xd9, 0xee],
  ...[0xde, 0xf9], // fdivp
];

Deno.test("an MMX instruction makes register 0 the top and marks all as full (9.5.1)", () => {
  const { view } = run([...FNINIT, ...FLD1, ...MOVQ_MM1_MM2, ...FXSAVE]);
  assert.equal(view.getUint16(0x3002, true), 0, "status: TOP is 0");
  assert.equal(view.getUint8(0x3004), 0xff);
});

Deno.test("a written MMX register is the x87's of that number, its exponent all ones (9.5.1)", () => {
  // mov eax, 12345678h; movd mm3, eax
  const { view } = run([
    ...[...FNINIT, 0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x6e, 0xd8],
    ...FXSAVE,
  ]);
  assert.equal(view.getBigUint64(0x3050, true), 0x1234_5678n);
  assert.equal(view.getUint16(0x3058, true), 0xffff);
  assert.equal(view.getUint16(0x3048, true), 0, "that of MM2 stays");
});

Deno.test("what the x87 pushed first is MM7 (9.2.1)", () => {
  // fld1; movq [2000h], mm7
  const { view } = run([...FNINIT, ...FLD1, 0x0f, 0x7f, 0x3e, 0x00, 0x20]);
  assert.equal(view.getBigUint64(0x2000, true), 1n << 63n);
});

Deno.test("EMMS empties all registers (EMMS)", () => {
  const { view } = run([...FNINIT, ...MOVQ_MM1_MM2, ...EMMS, ...FXSAVE]);
  assert.equal(view.getUint8(0x3004), 0);
});

for (const [name, code] of [["MOVQ", MOVQ_MM1_MM2], ["EMMS", EMMS]] as const) {
  Deno.test(`${name} gives #UD with CR0.EM, #NM with CR0.TS, #UD with both (9.6.1)`, () => {
    assert.equal(run([...code]).vector, -1);
    assert.equal(run([...code], { cr0: NE | EM }).vector, 6);
    assert.equal(run([...code], { cr0: NE | TS }).vector, 7);
    assert.equal(run([...code], { cr0: NE | EM | TS }).vector, 6);
  });

  Deno.test(`${name} gives #MF where an x87 exception waits (9.6.1)`, () => {
    assert.equal(run([...DIVISION_BY_ZERO, ...code]).vector, 16);
    const { view } = run([...DIVISION_BY_ZERO, ...FXSAVE]);
    assert.notEqual(view.getUint16(0x3002, true) & 0x80, 0, "the exception does wait");
  });
}

Deno.test("MMX needs no CR4.OSFXSR, what has an XMM register does (11.6.2)", () => {
  assert.equal(run(MOVQ_MM1_MM2, { cr4: 0n }).vector, -1);
  const movq2dq = [0xf3, 0x0f, 0xd6, 0xc1];
  assert.equal(run(movq2dq, { cr4: 0n }).vector, 6);
  assert.equal(run(movq2dq).vector, -1);
});

for (const [name, prefix] of [["CVTPI2PD", [0x66]], ["CVTPI2PS", []]] as const) {
  Deno.test(`${name} from memory uses no MMX register: no #MF (CVTPI2PD)`, () => {
    const fromMemory = [...prefix, 0x0f, 0x2a, 0x06, 0x00, 0x20];
    const fromRegister = [...prefix, 0x0f, 0x2a, 0xc1];
    assert.equal(run([...DIVISION_BY_ZERO, ...fromMemory]).vector, -1);
    assert.equal(run([...DIVISION_BY_ZERO, ...fromRegister]).vector, 16);
  });
}
