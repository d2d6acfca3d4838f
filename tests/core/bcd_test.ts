import assert from "node:assert/strict";
import { fromBcd, toBcd } from "../../hv/core/bcd.ts";

Deno.test("BCD: four digits there and back", () => {
  assert.deepEqual([0, 7, 59, 1999, 9999].map(toBcd), [0, 7, 0x59, 0x1999, 0x9999]);
  assert.deepEqual([0, 7, 0x59, 0x1999, 0x9999].map(fromBcd), [0, 7, 59, 1999, 9999]);
  assert.equal(fromBcd(0xff), 165, "wrong digits weigh what they weigh");
});
