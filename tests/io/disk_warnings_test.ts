import assert from "node:assert/strict";
import { DiskWarnings } from "../../hv/io/disk_warnings.ts";

Deno.test("a disk that fails again and again has one line in ten seconds, each disk its own", () => {
  const lines: string[] = [];
  let nowMs = 1_000_000;
  const warnings = new DiskWarnings((line) => lines.push(line), () => nowMs);
  const full = new Error("no space left");
  for (let i = 0; i < 1000; i++) warnings.failed("a.img", full);
  warnings.failed("b.img", full);
  nowMs += 10_000;
  warnings.failed("a.img", full);
  nowMs += 9_999;
  warnings.failed("a.img", full);
  assert.deepEqual(lines, [
    "a.img: no space left; the guest gets an I/O error",
    "b.img: no space left; the guest gets an I/O error",
    "a.img: no space left; the guest gets an I/O error (and 999 times before)",
  ]);
});
