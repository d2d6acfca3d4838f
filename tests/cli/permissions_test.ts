/** hv with the permissions that the README names, and no others. */

import assert from "node:assert/strict";
import { outcome, Scratch } from "../support/hv_process.ts";
import { rom } from "../support/payload.ts";

const ROOT = new URL("../../", import.meta.url);

/** What the README's table of permissions has. */
const NAMED = [
  ...Deno.readTextFileSync(new URL("README.md", ROOT)).matchAll(/^\| *(`--allow.*?)\|/gm),
]
  .flatMap(([, cell]) => [...cell.matchAll(/`(--allow-\w+)`/g)].map(([, flag]) => flag));

const hvWith = (permissions: readonly string[], args: readonly string[]) =>
  outcome(
    new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--no-prompt", ...permissions, "main.ts", ...args],
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  );

Deno.test("auto decides with them as with all: /proc/cpuinfo is not Deno's to refuse", async () => {
  assert.equal(NAMED.length, 7);
  // How fast it is varies.
  const line = (text: string) =>
    text.replaceAll(/\d+(\.\d+)?/g, "N").replaceAll(" (N to N)", "").split("\n").at(-2);
  const all = await hvWith(["--allow-all"], ["info"]);
  const named = await hvWith(NAMED, ["info"]);
  assert.match(line(all.stdout)!, /--accel auto takes /);
  assert.deepEqual([named.code, line(named.stdout)], [0, line(all.stdout)]);
});

Deno.test("a machine runs with them, its console on a socket", async () => {
  using scratch = new Scratch();
  using image = rom((p) => {
    p.realMode();
    p.exit(3);
  });
  const socket = `${scratch.path}/socket`;
  const args = ["run", "--memory", "2M", "--bios", image.path, "--serial", `unix:${socket}`];
  const { code, stderr } = await hvWith(NAMED, args);
  assert.equal(code, 7, stderr);
  Deno.writeTextFileSync(socket, "");
  const refused = await hvWith(NAMED, args);
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /^hv: Cannot listen on the socket .*: something is there already$/m);
});
