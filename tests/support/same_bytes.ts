/** Comparing many bytes: node's assert takes minutes to draw the difference of a large array. */

import assert from "node:assert/strict";

/** Fails with the place of the first difference. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  if (at < 0) return;
  assert.fail(`${what}: byte ${at} is ${actual[at]}, not ${expected[at]}`);
}
