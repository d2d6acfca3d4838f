/** `deno task test` runs every test file, loses no failure on the way, and tells chance from fault. */

import assert from "node:assert/strict";
import { failedTests } from "../support/failed_tests.ts";
import { Scratch } from "../support/hv_process.ts";
import { isQuick, NOT_QUICK, testFiles, testGroups } from "../support/test_processes.ts";
import { countsOf, takeLines } from "../support/test_results.ts";

const TESTS = new URL("../", import.meta.url).pathname;

interface Ended {
  readonly code: number;
  readonly lines: string[];
}

/** Starts tests/all.ts on files with these texts, each in a folder of its own below `scratch`. */
function start(
  scratch: Scratch,
  texts: readonly string[],
  options: readonly string[] = [],
): Deno.ChildProcess {
  const folders = texts.map((text, i) => {
    Deno.mkdirSync(`${scratch.path}/${i}`);
    scratch.file(`${i}/some_test.ts`, new TextEncoder().encode(text).length, text);
    return `${scratch.path}/${i}`;
  });
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${TESTS}all.ts`, ...options, ...folders],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

async function ended(process: Deno.ChildProcess): Promise<Ended> {
  const { code, stdout } = await process.output();
  return { code, lines: new TextDecoder().decode(stdout).trim().split("\n") };
}

async function all(texts: readonly string[], options: readonly string[] = []): Promise<Ended> {
  using scratch = new Scratch();
  return await ended(start(scratch, texts, options));
}

/** The text of a test's body that does `first` the first time that it runs, and nothing later. */
const once = (first: string, later = "", mark = "been") =>
  `try { Deno.mkdirSync(import.meta.dirname + "/${mark}"); }
   catch { ${later}; return; } ${first};`;

const fails = (why: string) => `throw new Error("${why}")`;

/** Lines that say `what` of tests, without the folder in which this is run. */
const said = (lines: readonly string[], what: string) =>
  lines.filter((line) => line.startsWith(`${what}: `))
    .map((line) => line.replace(/^\w+: \S*\/(?=\d)/, ""));

const count = (lines: readonly string[], part: string) =>
  lines.filter((line) => line.includes(part)).length;

Deno.test("what several processes count is one line, as that of deno test", async () => {
  const { code, lines } = await all([
    `Deno.test("a", async (t) => { await t.step("b", () => {}); await t.step("c", () => {}); });`,
    `Deno.test("d", () => {}); Deno.test.ignore("e", () => {});`,
  ]);
  assert.match(lines.at(-1)!, /^ok \| 2 passed \(2 steps\) \| 0 failed \| 1 ignored \(\d+m\d+s\)$/);
  assert.equal(count(lines, "alone"), 0, "what passes costs nothing more");
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
  // Where it happened, alone, and both again at the end.
  assert.ok(count(lines, "error: Error: why it failed") >= 4, lines.join("\n"));
  assert.deepEqual(said(lines, "failed").sort(), ["1/some_test.ts: bad", "2", "3"]);
  assert.deepEqual(said(lines, "unsteady"), []);
  assert.equal(code, 1);
});

Deno.test("a test that fails once, and passes alone, is named as unsteady, with its failure", async () => {
  const { code, lines } = await all([
    `Deno.test("shaky", () => { ${once(fails("the first time"))} });
     Deno.test("steady", () => {});`,
    `Deno.test("shaky", () => {});`,
  ]);
  assert.match(lines.at(-1)!, /^ok \| 3 passed, 1 unsteady \| 0 failed \| 0 ignored \(\d+m\d+s\)$/);
  assert.deepEqual(said(lines, "unsteady"), ["0/some_test.ts: shaky"]);
  assert.equal(count(lines, "error: Error: the first time"), 2);
  assert.equal(count(lines, "steady ..."), 1, "what has passed is not run again");
  assert.equal(code, 0);
});

Deno.test("a test whose step fails once counts with the steps of its second run", async () => {
  const { code, lines } = await all([
    `Deno.test("shaky", async (t) => {
       await t.step("one", () => {});
       await t.step("two", () => { ${once(fails("the first time"))} });
     });
     Deno.test("steady", async (t) => { await t.step("three", () => {}); });`,
  ]);
  assert.match(
    lines.at(-1)!,
    /^ok \| 2 passed \(3 steps\), 1 unsteady \| 0 failed \| 0 ignored \(/,
  );
  assert.deepEqual(said(lines, "unsteady"), ["0/some_test.ts: shaky"]);
  assert.equal(code, 0);
});

Deno.test("a test that fails twice is red, and both failures are shown, beside one that is unsteady", async () => {
  const { code, lines } = await all([
    `Deno.test("bad", () => { ${once(fails("at first so"), fails("then otherwise"))} });`,
    `Deno.test("shaky", () => { ${once(fails("by chance"))} });`,
  ]);
  assert.match(lines.at(-1)!, /^FAILED \| 1 passed, 1 unsteady \| 1 failed \| 0 ignored \(/);
  assert.deepEqual(said(lines, "failed"), ["0/some_test.ts: bad"]);
  assert.deepEqual(said(lines, "unsteady"), ["1/some_test.ts: shaky"]);
  assert.equal(count(lines, "error: Error: at first so"), 2);
  assert.equal(count(lines, "error: Error: then otherwise"), 2);
  assert.equal(code, 1);
});

Deno.test("a process that is killed once, and a file that does not load once, are run again whole", async () => {
  const { code, lines } = await all([
    `Deno.test("one", () => {});
     Deno.test("killed", () => { ${once('Deno.kill(Deno.pid, "SIGKILL")')} });`,
    `(() => { ${once(fails("not loaded"))} })(); Deno.test("two", () => {});`,
  ]);
  assert.match(lines.at(-1)!, /^ok \| 3 passed, 2 unsteady \| 0 failed \| 0 ignored \(/);
  assert.deepEqual(said(lines, "unsteady").sort(), ["0", "1"]);
  assert.equal(count(lines, "error: (in promise) Error: not loaded"), 2);
  assert.equal(code, 0);
});

Deno.test("tests of any name are run again, and no others", async () => {
  const names = [
    "^$.*+?()[]{}|\\/#&~-",
    "\"quoted\" 'and' <marked> & &amp;",
    "two\nlines\tand\x1b[1m more",
    "a > b, with 100 % and ü",
    "--filter",
  ];
  const tests = names.map((name, i) =>
    `Deno.test(${JSON.stringify(name)}, () => {
       ${once(fails("once"), "", `been${i}`)} });`
  );
  // Those would be taken along by a filter that is no exact one.
  const others = ["^$", "two", "a", "a > b, with 100 % and ü or so"].map((name) =>
    `Deno.test(${JSON.stringify(name)}, () => { console.log("so often"); });`
  );
  const { code, lines } = await all([[...tests, ...others].join("\n")]);
  assert.match(lines.at(-1)!, /^ok \| 9 passed, 5 unsteady \| 0 failed \| 0 ignored \(/);
  assert.equal(said(lines, "unsteady").length, names.length);
  assert.equal(count(lines, "so often"), others.length, lines.join("\n"));
  assert.equal(code, 0);
});

Deno.test("a test that another module declares is run again, and is of the file that imports it", async () => {
  using scratch = new Scratch();
  const helper = `export const declare = (name: string, fn: () => void) => Deno.test(name, fn);`;
  const path = scratch.file("helper.ts", helper.length, helper);
  const from = `import { declare } from "${path}";`;
  const { code, lines } = await ended(start(scratch, [
    `${from} declare("shaky", () => { ${once(fails("by chance"))} });
     declare("steady", () => { console.log("so often"); });`,
    `${from} declare("bad", () => { ${fails("always")} });`,
  ]));
  assert.match(lines.at(-1)!, /^FAILED \| 2 passed, 1 unsteady \| 1 failed \| 0 ignored \(/);
  assert.deepEqual(said(lines, "unsteady"), ["0: shaky"]);
  assert.deepEqual(said(lines, "failed"), ["1: bad"]);
  assert.equal(count(lines, "so often"), 1);
  assert.equal(code, 1);
});

Deno.test("a filter of the user's is not in the way of what is run again", async () => {
  const { code, lines } = await all([
    `Deno.test("shaky one", () => { ${once(fails("once"))} }); Deno.test("other", () => {});`,
  ], ["--filter=one"]);
  assert.match(lines.at(-1)!, /^ok \| 1 passed, 1 unsteady \| 0 failed /);
  assert.equal(code, 0);
});

Deno.test("more failures than can be chance are not run again", async () => {
  const { code, lines } = await all([
    Array.from({ length: 50 }, (_, i) => `Deno.test("t${i}", () => { ${fails("all")} });`)
      .join("\n"),
  ]);
  assert.match(lines.at(-1)!, /^FAILED \| 0 passed \| 50 failed \| 0 ignored \(/);
  assert.equal(count(lines, "so much has failed that nothing is run again"), 1);
  assert.equal(said(lines, "failed").length, 50);
  assert.equal(code, 1);
});

/** A test that writes a file, and then goes on for ever. */
const HANGS = `Deno.writeTextFileSync(import.meta.dirname + "/hangs", "");
  console.log("it hangs here"); await new Promise((resolve) => setTimeout(resolve, 1e8));`;

/** Waits for a file that a process makes. */
async function made(path: string, process: Deno.ChildProcess): Promise<void> {
  let hasEnded = false;
  process.status.then(() => hasEnded = true);
  for (;;) {
    try {
      Deno.statSync(path);
      return;
    } catch {
      assert.ok(!hasEnded, `it has ended without ${path}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} ends the tests with what they had come to`, async () => {
    using scratch = new Scratch();
    const process = start(scratch, [
      `Deno.test("bad", () => { ${fails("why it failed")} });`,
      // Whatever the order and the number of processes: it is begun when the other has ended.
      `Deno.test("hangs", async () => { ${HANGS} });`,
    ]);
    await made(`${scratch.path}/1/hangs`, process);
    process.kill(signal);
    const { code, lines } = await ended(process);
    assert.match(lines.at(-1)!, /^FAILED \| 0 passed \| [12] failed \| 0 ignored \(/);
    assert.equal(count(lines, "1, cut off"), 1, lines.join("\n"));
    assert.equal(count(lines, "it hangs here"), 1, lines.join("\n"));
    assert.equal(code, 1);
  });
}

Deno.test("a second run that is cut off leaves red what it was to try", async () => {
  using scratch = new Scratch();
  const process = start(scratch, [
    `Deno.test("slow", async () => { ${
      once(fails("why it failed"), `await (async () => { ${HANGS} })()`)
    } });`,
  ]);
  await made(`${scratch.path}/0/hangs`, process);
  process.kill("SIGTERM");
  const { code, lines } = await ended(process);
  assert.match(lines.at(-1)!, /^FAILED \| 0 passed \| 1 failed \| 0 ignored \(/);
  assert.deepEqual(said(lines, "failed"), ["0/some_test.ts: slow"]);
  assert.ok(count(lines, "error: Error: why it failed") >= 2);
  assert.equal(code, 1);
});

Deno.test("a report that does not say what was counted names no test", () => {
  const suite = (body: string) =>
    `<testsuites><testsuite name="./x_test.ts">${body}</testsuite></testsuites>`;
  const bad = (name: string) =>
    `<testcase name="${name}" line="1"><failure message="x">y</failure></testcase>`;
  const counts = (line: string) => countsOf(line)!;
  const of = (body: string, line: string) =>
    failedTests(suite(body), counts(line), "/a b")?.map(({ file, name }) => [file, name]);
  const one = "FAILED | 0 passed | 1 failed (1s)";
  assert.deepEqual(of(bad("a &lt;&#x41;"), one), [["/a b/x_test.ts", "a <A"]]);
  // A file that did not load beside it; two tests of one name; a report that is cut off.
  assert.equal(of(bad("a"), "FAILED | 0 passed | 2 failed (1s)"), undefined);
  const twice = "FAILED | 0 passed | 2 failed (1s)";
  assert.deepEqual(of(bad("a") + bad("a"), twice), [["/a b/x_test.ts", "a"]]);
  assert.equal(failedTests("", counts(one), "/"), undefined);
  // What looks like a step of one that failed, and is a test.
  assert.equal(of(bad("a") + bad("a &gt; b"), twice), undefined);
});

Deno.test("every file of tests is in one process, and those of guests start first", () => {
  const files = [...testFiles([TESTS])];
  const groups = testGroups(files);
  assert.ok(files.includes(`${TESTS}house/all_test.ts`) && files.length > 200);
  assert.deepEqual(groups.flatMap(({ files }) => files).sort(), files.toSorted());
  assert.match(groups[0].name, /tests\/guest\/\w+_test\.ts$/);
});

Deno.test("--quick leaves out guests and nothing that is not there, and shortens the rest", async () => {
  const files = [...testFiles([TESTS])].map((file) => file.slice(TESTS.length));
  const left = files.filter((file) => !isQuick(file));
  for (const one of NOT_QUICK) assert.ok(left.some((file) => file.startsWith(one)), one);
  assert.ok(left.includes("guest/linux_test.ts") && isQuick("house/all_test.ts"));
  const says = `Deno.test("says", () => { console.log("quick:" + Deno.env.get("HV_QUICK")); });`;
  const quick = await all([says], ["--quick"]);
  assert.equal(count(quick.lines, "quick:1"), 1);
  const full = await all([says]);
  assert.equal(count(full.lines, "quick:1"), Deno.env.get("HV_QUICK") === "1" ? 1 : 0);
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
