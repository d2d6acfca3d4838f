/**
 * Runs the tests: those of each folder in a process of their own, and those that start machines file by
 * file, several processes side by side. What a process printed comes when it has ended; at the end come
 * the failures again, and a last line as that of `deno test`.
 *
 *     deno task test [PATH...] [OPTIONS OF deno test]
 *
 * `DENO_JOBS` says how many processes; default: as many as the host has processors and memory for.
 */

import {
  countsOf,
  failuresOf,
  type GroupResult,
  summaryLine,
  takeLines,
  testFiles,
  type TestGroup,
  testGroups,
} from "./support/test_processes.ts";

/** The most that the tests of a process have been seen to need, with room. */
const BYTES_PER_JOB = 2 * 2 ** 30;

const options = Deno.args.filter((word) => word.startsWith("-"));
const paths = Deno.args.filter((word) => !word.startsWith("-"));
const waiting = testGroups(testFiles(paths.length > 0 ? paths : ["tests"]));
const running = new Map<Deno.ChildProcess, { group: TestGroup; output: string; begun: string }>();
const results: GroupResult[] = [];

function jobs(): number {
  const wanted = Number(Deno.env.get("DENO_JOBS") ?? 0);
  if (wanted > 0) return wanted;
  const room = Math.floor(Deno.systemMemoryInfo().available / BYTES_PER_JOB);
  return Math.max(1, Math.min(navigator.hardwareConcurrency, room));
}

const LOCK = `--lock=${new URL("./deno.lock", import.meta.url).pathname}`;

async function run(group: TestGroup): Promise<GroupResult> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", LOCK, "--frozen", ...options, ...group.files],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const state = { group, output: "", begun: "" };
  running.set(process, state);
  const take = (lines: string) => void (state.output += lines);
  const takeOutput = (lines: string, begun: string) => {
    take(lines);
    state.begun = begun;
  };
  const [{ success }] = await Promise.all([
    process.status,
    takeLines(process.stdout, takeOutput),
    takeLines(process.stderr, take),
  ]);
  running.delete(process);
  return { group, success, output: state.output, counts: countsOf(state.output) };
}

async function worker(): Promise<void> {
  for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
    const begun = performance.now();
    const result = await run(group);
    results.push(result);
    const seconds = Math.round((performance.now() - begun) / 1000);
    console.log(`\n== ${group.name}, ${seconds} s\n${result.output.trim()}`);
  }
}

/** Whoever ends the tests, as after a time limit, sees how far they had come. */
function giveUp(): never {
  waiting.length = 0;
  for (const [process, { group, output, begun }] of running) {
    process.kill("SIGTERM");
    console.log(`\n== ${group.name}, cut off\n${(output + begun).trim()}`);
  }
  Deno.exit(1);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, giveUp);
const start = performance.now();
await Promise.all(Array.from({ length: jobs() }, worker));
const failed = results.filter(({ success }) => !success);
for (const { group, output } of failed) {
  console.log(`\n== ${group.name} failed\n${failuresOf(output).trim()}`);
}
console.log(`\n${summaryLine(results, (performance.now() - start) / 1000)}`);
Deno.exit(failed.length > 0 ? 1 : 0);
