/** hv as somebody has it who has just cloned it: nothing is cached, and no registry answers. */

import assert from "node:assert/strict";
import { VERSION } from "../../hv/version.ts";
import { Scratch } from "../support/hv_process.ts";

const ROOT = new URL("../../", import.meta.url);

Deno.test("deno task run starts in a fresh clone without a network", async () => {
  using scratch = new Scratch();
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "run", "--version"],
    cwd: ROOT,
    env: {
      DENO_DIR: scratch.path,
      NPM_CONFIG_REGISTRY: "http://127.0.0.1:1",
      PATH: `${new URL(".", `file://${Deno.execPath()}`).pathname}:${Deno.env.get("PATH")}`,
    },
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  assert.equal(new TextDecoder().decode(stdout), `hv ${VERSION}\n`);
});
