/** What `deno task test --quick` shortens: tests that go on for as long as one likes ask here how long. */

/** Is this the quick tier? `tests/all.ts` says so to its processes by `HV_QUICK`. */
export const IS_QUICK: boolean = (Deno.env.get("HV_QUICK") ?? "") !== "";

/** How much of something a test does: `full`, or, in the quick tier, `quick`. */
export const inFull = (full: number, quick: number): number => IS_QUICK ? quick : full;

/** A test of several seconds that the quick tier does without; others cover its part there. */
export function slowTest(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name, ignore: IS_QUICK, fn });
}
