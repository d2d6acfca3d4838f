/** Everything that the interpreter is tested for, once more with translated code. */

import assert from "node:assert/strict";
import { testFiles } from "../../../support/test_processes.ts";

const SOFT = new URL("../", import.meta.url).pathname;
const LOCK = new URL("../../../deno.lock", import.meta.url).pathname;

/** Those that choose between the two themselves, or run no code of guests, need no second time. */
const LEFT_OUT: readonly string[] = [
  "translator/",
  "wasm_test.ts",
  "float/float80/",
  "float/float_sse/",
];

Deno.test("what the interpreter does, translated code does: all tests of tests/accel/soft", async () => {
  const files = [...testFiles([SOFT])].filter((file) =>
    !LEFT_OUT.some((name) => file.startsWith(`${SOFT}${name}`))
  );
  assert.ok(files.length > 20, "they were found");
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", `--lock=${LOCK}`, "--frozen", ...files],
    env: { HV_TIER: "translator" },
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.ok(success, text);
});
