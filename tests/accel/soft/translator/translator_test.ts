/** Translated code against the interpreter. */

import assert from "node:assert/strict";
import { NO_TRANSLATION } from "../../../../hv/accel/soft/translator/translator.ts";
import { Random, seed } from "../../../support/random.ts";
import { REGION_PLACES } from "../../../../hv/accel/soft/interpreter.ts";
import { CODE, END, SystemMachine } from "../support/system_machine.ts";
import { ProgramMachine, type ProgramMode } from "./random_programs.ts";
import { inFull } from "../../../support/quick.ts";

const PROGRAMS = inFull(150, 25);

for (const mode of ["long", "protected"] as const satisfies readonly ProgramMode[]) {
  for (const hotAfter of [1, 3, 20]) {
    Deno.test(`random programs in ${mode} mode, translated after ${hotAfter}, leave what they leave interpreted`, () => {
      const translated = new ProgramMachine(mode, { hotAfter, together: 1, patience: 1 });
      const interpreted = new ProgramMachine(mode, NO_TRANSLATION);
      for (let i = 0; i < PROGRAMS; i++) {
        const number = seed() * PROGRAMS + i;
        const expected = interpreted.run(new Random(number));
        assert.equal(translated.run(new Random(number)), expected, `program ${number}`);
      }
    });
  }
}

Deno.test("more hot code than there are places for is translated all the same", () => {
  const machine = new SystemMachine("long", 0, {
    translation: { hotAfter: 1, together: 64, patience: 1 },
  });
  const jumps = REGION_PLACES + 1000;
  // jmp to what follows, again and again; the whole twice.
  const code = [...Array(jumps).fill([0xeb, 0]).flat(), 0xff, 0xc9]; // dec ecx
  const back = -(code.length + 6);
  code.push(0x0f, 0x85, ...[0, 8, 16, 24].map((bit) => back >> bit & 0xff), 0xf4); // jnz, hlt
  const { vector, state } = machine.run(code, (state) => {
    state.general[1] = 3n;
  });
  assert.equal(vector, END);
  assert.equal(state.general[1], 0n);
  assert.equal(state.rip, BigInt(CODE + code.length));
});

Deno.test("code that changes another block of its region goes on with what it wrote", () => {
  // The loop's second block is overwritten in its 500th turn: add eax, 1 becomes add eax, 64.
  const code = [
    ...[0xff, 0xc9, 0x74, 0x16], // 0: dec ecx; jz 1Ah
    ...[0x81, 0xf9, 0xf4, 1, 0, 0], // 4: cmp ecx, 500
    ...[0x75, 0x07], // Ah: jnz 13h
    ...[0xc6, 0x05, 0x02, 0, 0, 0, 64], // Ch: mov byte [rip + 2], 64
    ...[0x83, 0xc0, 1], // 13h: add eax, 1
    ...[0xeb, 0xe8], // 16h: jmp 0
    ...[0x90, 0x90], // 18h
    0xf4, // 1Ah: hlt
  ];
  const machine = new SystemMachine("long", 0, {
    translation: { hotAfter: 20, together: 1, patience: 1 },
  });
  const { vector, state } = machine.run(code, (state) => {
    state.general[0] = 0n;
    state.general[1] = 1000n;
  });
  assert.equal(vector, END);
  assert.equal(state.general[0], 499n * 1n + 500n * 64n);
});
