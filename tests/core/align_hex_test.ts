import assert from "node:assert/strict";
import { alignUp } from "../../hv/core/align.ts";
import { addressText, hex } from "../../hv/core/hex.ts";

Deno.test("alignUp gives the boundary at or above a value, beyond 4 GiB too", () => {
  assert.equal(alignUp(0, 16), 0);
  assert.equal(alignUp(1, 16), 16);
  assert.equal(alignUp(16, 16), 16);
  assert.equal(alignUp(2 ** 40 + 1, 4096), 2 ** 40 + 4096);
});

Deno.test("hex pads, addresses are written as in data sheets", () => {
  assert.equal(hex(10, 2), "0a");
  assert.equal(hex(0xabcn), "abc");
  assert.equal(addressText(0xfec0_0000), "FEC00000h");
  assert.equal(addressText(2n ** 63n), "8000000000000000h");
});
