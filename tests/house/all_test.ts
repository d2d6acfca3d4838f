/** `deno task test` runs every test file, and loses no failure on the way. */

import assert from "node:assert/strict";
import { countsOf, takeLines, testFiles, testGroups } from "../support/test_processes.ts";
import { Scratch } from "../support/hv_process.ts";

const TESTS = new URL("../", import.meta.url).pathname;

/** Runs tests/all.ts on files with these texts, each in a folder of its own. */
async function all(texts: readonly string[]): Promise<{ code: number; lines: string[] }> {
  using scratch = new Scratch();
  const folders = texts.map((text, i) => {
    Deno.mkdirSync(`${scratch.path}/${i}`);
    scratch.file(`${i}/some_test.ts`, text.length, text);
    return `${scratch.path}/${i}`;
  });
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${TESTS}all.ts`, ...folders],
    stderr: "inherit",
  }).output();
  return { code, lines: new TextDecoder().decode(stdout).trim().split("\n") };
}

Deno.test("what several processes count is one line, as that of deno test", async () => {
  const { code, lines } = await all([
    `Deno.test("a", async (t) => { await t.step("b", () => {}); await t.step("c", () => {}); });`,
    `Deno.test("d", () => {}); Deno.test.ignore("e", () => {});`,
  ]);
  assert.match(lines.at(-1)!, /^ok \| 2 passed \(2 steps\) \| 0 failed \| 1 ignored \(\d+m\d+s\)$/);
  assert.equal(code, 0);
});

Deno.test("a test that fails, a file without a test and a process that dies fail the run", async () => {
  const { code, lines } = await all([
    `Deno.test("good", () => {});`,
    `Deno.test("bad", () => { throw new Error("why it failed"); });`,
    `throw new Error("no test at all");`,
    `Deno.test("ends", () => { Deno.kill(Deno.pid, "SIGKILL"); });`,
  ]);
  assert.match(lines.at(-1)!, /^FAILED \| 1 passed \| 3 failed \| 0 ignored /);
  // Once where it happened, and again at the end.
  assert.ok(lines.filter((line) => line.includes("why it failed")).length >= 2, lines.join("\n"));
  assert.equal(code, 1);
});

Deno.test("every file of tests is in one process, and those of guests start first", () => {
  const files = [...testFiles([TESTS])];
  const groups = testGroups(files);
  assert.ok(files.includes(`${TESTS}house/all_test.ts`) && files.length > 200);
  assert.deepEqual(groups.flatMap(({ files }) => files).sort(), files.toSorted());
  assert.match(groups[0].name, /tests\/guest\/\w+_test\.ts$/);
});

Deno.test("what a process says on its standard error does not come in the middle of what it counts", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const { readable: output, writable: toOutput } = new TransformStream<Uint8Array<ArrayBuffer>>();
  const { readable: error, writable: toError } = new TransformStream<Uint8Array<ArrayBuffer>>();
  let text = "";
  const seen = Promise.withResolvers<void>();
  const done = Promise.all([
    takeLines(output, (lines) => text += lines),
    takeLines(error, (lines) => {
      text += lines;
      seen.resolve();
    }),
  ]);
  const [out, err] = [toOutput.getWriter(), toError.getWriter()];
  await out.write(bytes("running\nok | 2 pas"));
  await err.write(bytes("a warning\n"));
  await seen.promise;
  await out.write(bytes("sed | 0 failed (1s)\nthe last has no end"));
  await Promise.all([out.close(), err.close(), done]);
  assert.equal(countsOf(text)?.passed.tests, 2, text);
  assert.match(text, /^a warning$/m);
  assert.match(text, /^the last has no end$/m);
});
