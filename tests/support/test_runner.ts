/** Runs groups of test files, each in a process of `deno test`, and what failed once more, alone. */

import { type FailedTest, failedTests, filterOf } from "./failed_tests.ts";
import { type Counts, countsOf, DIED, sumOf, takeLines } from "./test_results.ts";
import type { TestGroup } from "./test_processes.ts";

const LOCK = `--lock=${new URL("../deno.lock", import.meta.url).pathname}`;

/** So many failures are no chance: beyond them nothing is run again. */
const MOST_AGAIN = 40;

/** How a process ended. */
export interface RunResult {
  readonly success: boolean;
  /** All that it printed. */
  readonly output: string;
  readonly counts: Counts;
  /** The tests that failed, where they are all that did. */
  readonly failed?: readonly FailedTest[];
}

/** Something that failed, a test or all of a process, and how it went when it was alone. */
export interface Failure {
  /** What a person calls it. */
  readonly name: string;
  readonly group: TestGroup;
  readonly first: RunResult;
  /** Undefined for a whole process. */
  readonly test?: FailedTest;
  /** Undefined: it has not been run again. */
  again?: RunResult;
}

/** Did it fail beside others, and pass alone? */
export const isUnsteady = ({ again }: Failure): boolean => again?.success ?? false;

interface Running {
  readonly name: string;
  output: string;
  begun: string;
  /** Resolves when it has ended, and all that it printed has been read. */
  ended: Promise<unknown>;
}

/** How long what was told to end may take for it, ms. */
const END_MS = 5000;

/** See above. */
export class TestRunner implements Disposable {
  /** What of the groups that have ended failed, in the order of their end. */
  readonly failures: Failure[] = [];
  readonly #options: readonly string[];
  readonly #env: Record<string, string>;
  readonly #reports = Deno.makeTempDirSync({ prefix: "hv-test-reports-" });
  readonly #running = new Map<Deno.ChildProcess, Running>();
  readonly #counts: Counts[] = [];
  #isAgain = false;
  #isStopped = false;

  /** @param options For every `deno test`. */
  constructor(options: readonly string[], env: Record<string, string>) {
    this.#options = options;
    this.#env = env;
  }

  /** Has all been run, and does only what failed run again? */
  get isAgain(): boolean {
    return this.#isAgain;
  }

  /** All that has been counted; what is unsteady has passed. */
  get counts(): Counts {
    const unsteady = this.failures.filter(isUnsteady);
    return sumOf(
      [...this.#counts, ...unsteady.map(({ again }) => again!.counts)],
      unsteady.map(({ first, test }) => test?.counts ?? first.counts),
    );
  }

  /** Runs a group of files. */
  async run(group: TestGroup): Promise<void> {
    const first = await this.#start(group.name, group.files, this.#options);
    this.#counts.push(first.counts);
    if (first.success) return;
    if (first.failed === undefined) this.failures.push({ name: group.name, group, first });
    for (const test of first.failed ?? []) {
      this.failures.push({
        name: `${filesOf(group, test).name}: ${test.name}`,
        group,
        first,
        test,
      });
    }
  }

  /** Runs everything that failed once more, one after the other; false: too much has. */
  async runAgain(): Promise<boolean> {
    if (this.failures.length > MOST_AGAIN) return false;
    this.#isAgain = true;
    for (const failure of this.failures) {
      const { name, group, first, test } = failure;
      if (test === undefined) {
        failure.again = await this.#start(`${name}, alone`, group.files, this.#options);
        continue;
      }
      const options = this.#options.filter((option) => !option.startsWith("--filter"));
      const { files } = filesOf(group, test);
      const again = await this.#start(`${name}, alone`, files, [...options, filterOf(test.name)]);
      const { passed, failed } = again.counts;
      // A name that no filter matches: all of them, with the counts that the first run had of all.
      if (passed.tests + failed.tests > 0) failure.again = again;
      else {
        const whole = await this.#start(`${name}, alone`, group.files, options);
        failure.again = { ...whole, counts: sumOf([whole.counts, test.counts], [first.counts]) };
      }
    }
    return true;
  }

  /** Ends what is running; gives all that it has printed, by name. */
  async stop(): Promise<[name: string, output: string][]> {
    this.#isStopped = true;
    for (const process of this.#running.keys()) {
      try {
        process.kill("SIGTERM");
      } catch {
        // It has ended.
      }
    }
    const running = [...this.#running.values()];
    const patience = new Promise((resolve) => setTimeout(resolve, END_MS));
    await Promise.race([Promise.all(running.map(({ ended }) => ended)), patience]);
    return running.map(({ name, output, begun }) => [name, output + begun]);
  }

  async #start(
    name: string,
    files: readonly string[],
    options: readonly string[],
  ): Promise<RunResult> {
    const begun = performance.now();
    const report = Deno.makeTempFileSync({ dir: this.#reports });
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["test", "-A", "--no-check", LOCK, "--frozen", `--junit-path=${report}`],
        ...[...options, ...files],
      ],
      env: this.#env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const state: Running = { name, output: "", begun: "", ended: process.status };
    this.#running.set(process, state);
    const take = (lines: string) => void (state.output += lines);
    const ended = Promise.all([
      process.status,
      takeLines(process.stdout, (lines, begun) => {
        take(lines);
        state.begun = begun;
      }),
      takeLines(process.stderr, take),
    ]);
    state.ended = ended;
    const [{ success }] = await ended;
    // Whoever stops the tests tells of it; nothing else comes of it any more.
    if (this.#isStopped) return new Promise(() => {});
    this.#running.delete(process);
    const { output } = state;
    const seconds = Math.round((performance.now() - begun) / 1000);
    console.log(`\n== ${name}, ${seconds} s\n${output.trim()}`);
    const said = countsOf(output);
    if (success) return { success, output, counts: said ?? sumOf([]) };
    // A process that counts no failure, and fails, has died.
    if (said === undefined || said.failed.tests === 0) {
      return { success, output, counts: sumOf([DIED, ...said === undefined ? [] : [said]]) };
    }
    const failed = failedTests(Deno.readTextFileSync(report), said, Deno.cwd());
    return { success, output, counts: said, failed };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#reports, { recursive: true });
  }
}

/** Where a test is: a test that another module declares is in any of the group's files. */
function filesOf(group: TestGroup, { file }: FailedTest): TestGroup {
  const own = group.files.find((one) => absolute(one) === file);
  return own === undefined ? group : { name: own, files: [own] };
}

const absolute = (path: string) => path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
