/** The software CPU against the real processor; `long_run.ts` does the same for longer. */

import assert from "node:assert/strict";
import { seeded } from "../../../support/random.ts";
import { Comparison } from "./comparison.ts";
import { kvmIsThere } from "./kvm_is_there.ts";
import { LegacyComparison } from "./legacy_comparison.ts";

const CASES = 2000;
const LEGACY_CASES = 600;

const ignore = !kvmIsThere();

for (const mode of ["64-bit", "compatibility"]) {
  Deno.test({
    name: `user-mode instructions leave what the real processor leaves in ${mode} mode`,
    ignore,
    fn: () => {
      seeded((random) => {
        const comparison = new Comparison(mode === "compatibility");
        comparison.fill(random);
        for (let i = 0; i < CASES; i++) assert.equal(comparison.step(random), undefined);
      });
    },
  });
}

for (const [mode, name] of [["real", "16-bit real"], ["protected", "32-bit protected"]] as const) {
  Deno.test({
    name: `instructions leave what KVM leaves in ${name} mode (random operands)`,
    ignore,
    fn: () => {
      seeded((random) => {
        const comparison = new LegacyComparison(mode);
        comparison.fill(random);
        for (let i = 0; i < LEGACY_CASES; i++) assert.equal(comparison.step(random), undefined);
      });
    },
  });
}
