/** The single file in tests: what building one needs, and running it. */

import { type Outcome, outcome } from "./hv_process.ts";

async function lacks(): Promise<string | undefined> {
  const test =
    "cc -static -x c -o /dev/null - -lzstd -lmd << END\nint main(void) { return 0; }\nEND";
  const { success } = await new Deno.Command("sh", { args: ["-c", test], stderr: "null" }).output();
  return success ? undefined : "a C compiler, libzstd-dev or libmd-dev";
}
const missing = await lacks();

/** A test of the single file, skipped with a reason where it cannot be built or `needs` are not there. */
export function fileTest(
  name: string,
  body: () => Promise<void>,
  needs: readonly string[] = [],
): void {
  const absent = missing ?? needs.find((path) => {
    try {
      Deno.statSync(path);
      return false;
    } catch {
      return true;
    }
  });
  Deno.test(name, async () => {
    if (absent !== undefined) return console.log(`skipped: without ${absent}`);
    await body();
  });
}

/** Only root mounts, and has a root directory of its own. */
export const isRoot: boolean = Deno.uid() === 0;

/** How to start it. */
export interface Started {
  readonly env?: Record<string, string>;
  readonly clearEnv?: boolean;
  readonly prefix?: readonly string[];
}

/** Starts it; the caller waits for it. */
export function start(
  file: string,
  args: readonly string[],
  options: Started = {},
): Deno.ChildProcess {
  const { prefix = [], env, clearEnv } = options;
  const [program, ...words] = [...prefix, file, ...args];
  return new Deno.Command(program, {
    ...{ args: words, env, clearEnv },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs it to its end. */
export const run = (
  file: string,
  args: readonly string[],
  options: Started = {},
): Promise<Outcome> => outcome(start(file, args, options));
