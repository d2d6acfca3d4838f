/**
 * The test files in processes of `deno test`, several side by side.
 *
 * `deno test --parallel` has threads of one process instead; tests that count the descriptors, threads or
 * memory of their process would then count those of others.
 */

/** Folders in and below which each file has a process, the longest first: they start machines, or hv. */
const APART: readonly string[] = ["guest", "machine", "cli"];

/** What `deno test` counts. */
const OUTCOMES = ["passed", "failed", "ignored"] as const;
type Outcome = typeof OUTCOMES[number];

/** How many tests, and steps of tests, came to what. */
export type Counts = Readonly<Record<Outcome, { readonly tests: number; readonly steps: number }>>;

/** What one process is given. */
export interface TestGroup {
  readonly name: string;
  readonly files: readonly string[];
}

/** How a process ended. */
export interface GroupResult {
  readonly group: TestGroup;
  readonly success: boolean;
  /** All that it printed. */
  readonly output: string;
  /** Undefined when it died before it could count. */
  readonly counts?: Counts;
}

/** Test files in and below `paths`. */
export function* testFiles(paths: Iterable<string>): Generator<string> {
  for (const path of paths) {
    if (!Deno.statSync(path).isDirectory) {
      yield path;
      continue;
    }
    const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
    const folder = path.replace(/\/$/, "");
    yield* testFiles(
      entries.filter(({ name, isDirectory }) => isDirectory || name.endsWith("_test.ts"))
        .map(({ name }) => `${folder}/${name}`),
    );
  }
}

/** The files of each folder, or one file, for each process, in the order in which they are to start. */
export function testGroups(files: Iterable<string>): TestGroup[] {
  const groups = new Map<string, string[]>();
  const rank = new Map<string, number>();
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf("/"));
    const apart = APART.findIndex((name) => `/${folder}/`.includes(`/tests/${name}/`));
    const name = apart < 0 ? folder : file;
    groups.set(name, [...groups.get(name) ?? [], file]);
    rank.set(name, apart < 0 ? APART.length : apart);
  }
  return [...groups].map(([name, files]) => ({ name, files }))
    .sort((a, b) => rank.get(a.name)! - rank.get(b.name)!);
}

/**
 * Passes on whole lines, and what has come of the next one: what two streams of a process say stays apart
 * in one text.
 */
export async function takeLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (lines: string, begun: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    rest += text;
    const end = rest.lastIndexOf("\n") + 1;
    const lines = rest.slice(0, end);
    rest = rest.slice(end);
    take(lines, rest);
  }
  if (rest !== "") take(`${rest}\n`, "");
}

/** What the last line of `deno test` counts: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`. */
export function countsOf(output: string): Counts | undefined {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[\d;]*m/g, "");
  const line = [...plain.matchAll(/^(?:ok|FAILED) \| \d+ passed.*$/gm)].at(-1)?.[0];
  if (line === undefined) return undefined;
  const count = (outcome: Outcome) => {
    const [, tests = 0, steps = 0] =
      new RegExp(`(\\d+) ${outcome}(?: \\((\\d+) steps?\\))?`).exec(line) ?? [];
    return { tests: Number(tests), steps: Number(steps) };
  };
  return { passed: count("passed"), failed: count("failed"), ignored: count("ignored") };
}

/** The line of `deno test` for all of `results`; a process that died counts as a failed test. */
export function summaryLine(results: readonly GroupResult[], seconds: number): string {
  const parts = OUTCOMES.map((outcome) => {
    let tests = 0, steps = 0;
    for (const { counts, success } of results) {
      tests += counts?.[outcome].tests ?? 0;
      steps += counts?.[outcome].steps ?? 0;
      const isUncounted = !success && (counts?.failed.tests ?? 0) === 0;
      if (outcome === "failed" && isUncounted) tests++;
    }
    return `${tests} ${outcome}${steps > 0 ? ` (${steps} step${steps > 1 ? "s" : ""})` : ""}`;
  });
  const verdict = results.every(({ success }) => success) ? "ok" : "FAILED";
  const time = `${Math.floor(seconds / 60)}m${Math.round(seconds % 60)}s`;
  return `${verdict} | ${parts.join(" | ")} (${time})`;
}

/** What of an output says which tests failed and why; of a process that died, all. */
export function failuresOf(output: string): string {
  // deno-lint-ignore no-control-regex
  const at = output.search(/^ ?(?:\x1b\[[\d;]*m)* ?ERRORS ?/m);
  return at < 0 ? output : output.slice(at);
}
