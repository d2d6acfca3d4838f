/** Everything that the interpreter is tested for, once more with translated code. */

import assert from "node:assert/strict";

const DIRECTORY = new URL("..", import.meta.url).pathname;
const LOCK = new URL("../../../deno.lock", import.meta.url).pathname;

Deno.test("what the interpreter does, translated code does: all tests of tests/soft", async () => {
  // Those that choose between the two themselves need no second time.
  const leftOut = ["translated_test.ts", "translator_test.ts", "wasm_test.ts"];
  const files = [...Deno.readDirSync(DIRECTORY)].map(({ name }) => name).filter((name) =>
    name.endsWith("_test.ts") && !leftOut.includes(name)
  );
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", `--lock=${LOCK}`, "--frozen", ...files],
    cwd: DIRECTORY,
    env: { HV_TIER: "translator" },
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.ok(success, text);
});
