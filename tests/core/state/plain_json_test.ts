import assert from "node:assert/strict";
import { fromJson, toJson } from "../../../hv/core/state/plain_json.ts";

Deno.test("plain data comes back from its text as it was, byte arrays too", () => {
  const value = {
    name: "é\n",
    list: [1, -2.5, true, null, { bytes: Uint8Array.of(0, 255) }],
    mac: Uint8Array.of(0x52, 0x54, 0),
    none: new Uint8Array(0),
  };
  assert.deepEqual(fromJson(toJson(value)), value);
  assert.deepEqual(fromJson(toJson(Uint8Array.of(7))), Uint8Array.of(7));
});

Deno.test("what is undefined is left out", () => {
  assert.deepEqual(fromJson(toJson({ a: undefined, b: 1 })), { b: 1 });
});
