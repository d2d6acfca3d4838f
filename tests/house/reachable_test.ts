/** Deno and hv can be reached by another user, however closed the places are where they lie. */

import assert from "node:assert/strict";
import { VERSION } from "../../hv/version.ts";
import { hvCommand, Scratch } from "../support/hv_process.ts";
import { NOBODY, otherUserProblem, Reachable } from "../support/reachable.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** What a command prints that is run as another user. */
function asNobody(copy: Reachable, words: readonly string[]): string {
  const { code, stdout, stderr } = new Deno.Command(words[0], {
    args: words.slice(1),
    cwd: copy.path,
    env: copy.env,
    uid: NOBODY,
    gid: NOBODY,
  }).outputSync();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test("another user runs hv, though its checkout and the place for temporary files are closed", () => {
  const problem = otherUserProblem();
  if (problem !== "") return console.log(`skipped: ${problem}`);
  using closed = new Scratch();
  Deno.chmodSync(closed.path, 0o700);
  const below = `${closed.path}/open`;
  Deno.mkdirSync(below);
  Deno.chmodSync(below, 0o1777);
  // As after a git clone with a umask of 077.
  const { success } = new Deno.Command("cp", {
    args: ["-r", ...["main.ts", "deno.json", "hv", "devices", "bios"], closed.path],
    cwd: ROOT,
  }).outputSync();
  assert.ok(success);
  new Deno.Command("chmod", { args: ["-R", "go=", closed.path] }).outputSync();
  Deno.chmodSync(below, 0o1777);
  using copy = new Reachable([closed.path, below, "/tmp", "/var/tmp"], closed.path);
  assert.ok(!copy.path.startsWith(closed.path), copy.path);
  assert.equal(asNobody(copy, hvCommand(["--version"], copy)), `hv ${VERSION}\n`);
  // It is that copy, in which everything is readable, and whose files nobody else has to clear away.
  assert.equal(asNobody(copy, ["find", copy.root, "!", "-readable"]), "");
  asNobody(copy, ["touch", `${copy.path}/file`]);
});

Deno.test("where no place is open to other users, that is said", () => {
  using closed = new Scratch();
  Deno.chmodSync(closed.path, 0o700);
  assert.throws(() => new Reachable([closed.path, `${closed.path}/missing`]), {
    message: new RegExp(`no other user can run a program in any of ${closed.path}, `),
  });
});
