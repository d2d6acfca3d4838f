/** Programs of the host that fetch and unpack packages: their output, or in one line why they failed. */

import { PackageError } from "./package_error.ts";

/** How a program is run. */
export interface ProgramOptions {
  readonly cwd?: string;
  /** Ends the program, and rejects with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a program to its end; what it printed.
 *
 * @throws {PackageError} When it is not there or fails.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  { cwd, signal }: ProgramOptions = {},
): Promise<string> {
  signal?.throwIfAborted();
  const { success, stdout, stderr } = await output(program, args, { cwd, signal });
  signal?.throwIfAborted();
  if (success) return new TextDecoder().decode(stdout);
  throw new PackageError(`${program}: ${reason(new TextDecoder().decode(stderr))}`);
}

async function output(
  program: string,
  args: readonly string[],
  { cwd, signal }: ProgramOptions,
): Promise<Deno.CommandOutput> {
  try {
    // Reasons are looked for in English. Ctrl-C is for hv alone, which then ends the program.
    const here = { env: { LC_ALL: "C" }, stdin: "null", detached: true } as const;
    const options = { ...here, args: [...args], cwd, signal };
    return await new Deno.Command(program, options).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new PackageError(`${program} is not here: this is no Debian-family host`);
  }
}

/** What tells the reason best, the best first: dpkg-deb's last line only says that tar has failed. */
const REASONS = [/No space left on device/, /^E: /, /^(tar|dpkg-deb): /];

function reason(stderr: string): string {
  const lines = stderr.trim().split("\n");
  const found = REASONS.map((pattern) => lines.find((line) => pattern.test(line)))
    .find((line) => line !== undefined);
  return (found ?? lines.at(-1) ?? "").replace(/^E: /, "");
}
