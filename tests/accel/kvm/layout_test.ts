/**
 * Structures, request numbers and constants against <linux/kvm.h>: always against a golden that was
 * made from it, and against the header itself where there is a compiler. The golden is renewed with
 * `deno run -A tests/accel/kvm/layout_golden.ts`.
 */

import assert from "node:assert/strict";
import golden from "./layout_golden.json" with { type: "json" };
import { compiledLayout } from "./layout_golden.ts";
import { declaredLayout } from "./layout.ts";

Deno.test("KVM's structures and numbers are those of the golden", () => {
  assert.deepEqual(declaredLayout(), golden);
});

Deno.test("KVM's structures and numbers are those of <linux/kvm.h> on this machine", () => {
  const compiled = compiledLayout();
  if (compiled === undefined) {
    console.log("skipped: no gcc with <linux/kvm.h> on this machine");
    return;
  }
  assert.deepEqual(declaredLayout(), compiled);
});
