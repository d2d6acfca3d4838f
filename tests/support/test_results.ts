/** What processes of `deno test` print, counted and taken apart. */

/** What `deno test` counts. */
const OUTCOMES = ["passed", "failed", "ignored"] as const;
type Outcome = typeof OUTCOMES[number];

/** How many tests, and steps of tests, came to what. */
export type Counts = Readonly<Record<Outcome, { readonly tests: number; readonly steps: number }>>;

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

/** What a process counts that died before it could. */
export const DIED: Counts = {
  passed: { tests: 0, steps: 0 },
  failed: { tests: 1, steps: 0 },
  ignored: { tests: 0, steps: 0 },
};

/** All of `plus`, without what is in `minus`. */
export function sumOf(plus: readonly Counts[], minus: readonly Counts[] = []): Counts {
  const sum = (outcome: Outcome, what: "tests" | "steps") => {
    const add = (total: number, counts: Counts) => total + counts[outcome][what];
    return plus.reduce(add, 0) - minus.reduce(add, 0);
  };
  const both = (outcome: Outcome) => ({
    tests: sum(outcome, "tests"),
    steps: sum(outcome, "steps"),
  });
  return { passed: both("passed"), failed: both("failed"), ignored: both("ignored") };
}

/** The line of `deno test` for all; how many of those that passed are unsteady is said where some are. */
export function summaryLine(counts: Counts, unsteady: number, seconds: number): string {
  const parts = OUTCOMES.map((outcome) => {
    const { tests, steps } = counts[outcome];
    const ofThem = outcome === "passed" && unsteady > 0 ? `, ${unsteady} unsteady` : "";
    return `${tests} ${outcome}${
      steps > 0 ? ` (${steps} step${steps > 1 ? "s" : ""})` : ""
    }${ofThem}`;
  });
  const verdict = counts.failed.tests > 0 ? "FAILED" : "ok";
  const time = `${Math.floor(seconds / 60)}m${Math.round(seconds % 60)}s`;
  return `${verdict} | ${parts.join(" | ")} (${time})`;
}

/** What of an output says which tests failed and why; of a process that died, all. */
export function failuresOf(output: string): string {
  // deno-lint-ignore no-control-regex
  const at = output.search(/^ ?(?:\x1b\[[\d;]*m)* ?ERRORS ?/m);
  return at < 0 ? output : output.slice(at);
}
