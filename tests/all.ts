/**
 * Runs the tests: those of each folder in a process of their own, and those that start machines file by
 * file, several processes side by side. What a process printed comes when it has ended. What failed is
 * run once more, alone, when all the rest is done: what passes then is unsteady, and named at the end. At
 * the end come the failures again, and a last line as that of `deno test`.
 *
 *     deno task test [--quick] [PATH...] [OPTIONS OF deno test]
 *
 * `--quick` leaves out whole guests, and shortens what is long (support/test_processes.ts).
 * `DENO_JOBS` says how many processes; default: as many as the host has processors and memory for.
 */

import { isQuick, testFiles, testGroups } from "./support/test_processes.ts";
import { type Counts, DIED, failuresOf, summaryLine, sumOf } from "./support/test_results.ts";
import { type Failure, isUnsteady, TestRunner } from "./support/test_runner.ts";

/** The most that the tests of a process have been seen to need, with room. */
const BYTES_PER_JOB = 2 * 2 ** 30;
const TESTS = new URL("./", import.meta.url).pathname;

const quick = Deno.args.includes("--quick");
const options = Deno.args.filter((word) => word.startsWith("-") && word !== "--quick");
const paths = Deno.args.filter((word) => !word.startsWith("-"));
const all = [...testFiles(paths.length > 0 ? paths : ["tests"])];
const files = quick ? all.filter((file) => isQuick(belowTests(file))) : all;
const waiting = testGroups(files);
const runner = new TestRunner(options, quick ? { HV_QUICK: "1" } : {});
const start = performance.now();

function belowTests(file: string): string {
  const path = Deno.realPathSync(file);
  return path.startsWith(TESTS) ? path.slice(TESTS.length) : path;
}

function jobs(): number {
  const wanted = Number(Deno.env.get("DENO_JOBS") ?? 0);
  if (wanted > 0) return wanted;
  const room = Math.floor(Deno.systemMemoryInfo().available / BYTES_PER_JOB);
  return Math.max(1, Math.min(navigator.hardwareConcurrency, room));
}

async function worker(): Promise<void> {
  for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
    await runner.run(group);
  }
}

/** How what failed in a process failed, and how each of it went alone. */
function tell(failures: readonly Failure[]): void {
  const [{ group, first }] = failures;
  console.log(`\n== ${group.name} failed\n${failuresOf(first.output).trim()}`);
  for (const failure of failures) {
    const { name, again } = failure;
    if (again === undefined) continue;
    console.log(`\n-- ${name}, alone: ${again.success ? "passed" : "failed again"}`);
    if (!again.success) console.log(failuresOf(again.output).trim());
  }
}

/** The failures, the names, the last line; ends with how it went. */
function end(cutOff: readonly Counts[] = []): never {
  const { failures } = runner;
  for (const ofGroup of Map.groupBy(failures, ({ group }) => group).values()) tell(ofGroup);
  const unsteady = failures.filter(isUnsteady);
  const left = all.length - files.length;
  console.log(left > 0 ? `\n--quick left out ${left} of ${all.length} files` : "");
  const line = (name: string) => name.replaceAll("\n", " ");
  for (const { name } of unsteady) console.log(`unsteady: ${line(name)}`);
  for (const failure of failures) {
    if (!isUnsteady(failure)) console.log(`failed: ${line(failure.name)}`);
  }
  const counts = sumOf([runner.counts, ...cutOff]);
  console.log(summaryLine(counts, unsteady.length, (performance.now() - start) / 1000));
  runner[Symbol.dispose]();
  Deno.exit(counts.failed.tests > 0 ? 1 : 0);
}

/** Whoever ends the tests, as after a time limit, sees how far they had come. */
async function giveUp(): Promise<void> {
  waiting.length = 0;
  const cut = await runner.stop();
  for (const [name, output] of cut) console.log(`\n== ${name}, cut off\n${output.trim()}`);
  // What has failed before and is cut off alone counts once.
  end(runner.isAgain ? [] : cut.map(() => DIED));
}

for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, giveUp);
await Promise.all(Array.from({ length: jobs() }, worker));
if (!await runner.runAgain()) console.log("\nso much has failed that nothing is run again");
end();
