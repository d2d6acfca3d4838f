/** Translated code against the interpreter. */

import assert from "node:assert/strict";
import { NO_TRANSLATION } from "../../hv/accel/soft/translator/translator.ts";
import { Random, seed } from "../support/random.ts";
import { ProgramMachine, type ProgramMode } from "./random_programs.ts";

const PROGRAMS = 150;

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
