/**
 * Which tests of a process failed, by name: read from the report that `deno test --junit-path` writes, in
 * which the steps of a test follow all tests of their file, as `test > step`.
 */

import { type Counts, sumOf } from "./test_results.ts";

/** A test that failed. */
export interface FailedTest {
  /** Absolute path of the module that declares it: the test's file, or one of those that it imports. */
  readonly file: string;
  /** As `--filter` sees it. */
  readonly name: string;
  /** What of its process's counts is this test and its steps; two tests of a file may have one name. */
  readonly counts: Counts;
}

interface Case {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "ignored";
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  amp: "&",
  quot: '"',
  apos: "'",
};

/** Text of an attribute. */
function plain(text: string): string {
  return text.replace(
    /&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi,
    (all, hex, decimal, name) =>
      name !== undefined
        ? ENTITIES[name] ?? all
        : String.fromCodePoint(hex !== undefined ? parseInt(hex, 16) : Number(decimal)),
  );
}

/** Absolute path of a file as the report names it: relative to `cwd`, or as a URL. */
function pathOf(name: string, cwd: string): string {
  return decodeURIComponent(new URL(name, `file://${encodeURI(cwd)}/`).pathname);
}

/** One file's tests and steps, in the order of the report. */
function casesOf(suite: string): Case[] {
  const all = suite.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([^]*?)<\/testcase>)/g);
  return [...all].map(([, name, body = ""]) => ({
    name: plain(name),
    outcome: /<(?:failure|error)\b/.test(body)
      ? "failed"
      : body.includes("<skipped")
      ? "ignored"
      : "passed",
  }));
}

/** What `cases` count: tests those of the name `name`, steps the others. */
function countsOfCases(cases: readonly Case[], name: string): Counts {
  const count = (outcome: Case["outcome"]) => {
    const these = cases.filter((one) => one.outcome === outcome);
    const tests = these.filter((one) => one.name === name).length;
    return { tests, steps: these.length - tests };
  };
  return { passed: count("passed"), failed: count("failed"), ignored: count("ignored") };
}

/**
 * The tests that failed according to a report. Undefined when they are not all that went wrong, or names
 * are ambiguous: then the report does not say what `counts` does.
 */
export function failedTests(
  report: string,
  counts: Counts,
  cwd: string,
): FailedTest[] | undefined {
  const failed: FailedTest[] = [];
  const suites = report.matchAll(/<testsuite name="([^"]*)"[^>]*>([^]*?)<\/testsuite>/g);
  for (const [, suite, body] of suites) {
    const file = pathOf(plain(suite), cwd);
    const cases = casesOf(body);
    const isStep = ({ name }: Case, of: string) => name.startsWith(`${of} > `);
    // The steps of a test that failed follow it; those of others are of no interest.
    const names = new Set<string>();
    for (const one of cases) {
      const isOfAnother = [...names].some((name) => isStep(one, name));
      if (one.outcome === "failed" && !isOfAnother) names.add(one.name);
    }
    for (const name of names) {
      const own = cases.filter((one) => one.name === name || isStep(one, name));
      failed.push({ file, name, counts: countsOfCases(own, name) });
    }
  }
  const all = sumOf(failed.map(({ counts }) => counts));
  const isAll = all.failed.tests === counts.failed.tests &&
    all.failed.steps === counts.failed.steps && failed.length > 0;
  return isAll ? failed : undefined;
}

/** The `--filter` of `deno test` that this name alone passes: a regular expression of Rust's. */
export function filterOf(name: string): string {
  return `--filter=/^${name.replaceAll(/[\\.+*?()|[\]{}^$#&~-]/g, "\\$&")}$/`;
}
