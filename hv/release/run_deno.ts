/** Deno's own commands, by which the program is made. */

const ROOT = new URL("../..", import.meta.url);

/**
 * Runs Deno in the root of the tree.
 *
 * @throws {Error} With what it says, in a line.
 */
export async function runDeno(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
  }).output();
  if (success) return;
  throw new Error(`deno ${args[0]} has failed: ${reasonOf(new TextDecoder().decode(stderr))}`);
}

/** Why, in a line: the error, or the first two of its causes where it lists them. */
function reasonOf(said: string): string {
  const causes = [...said.matchAll(/^ +[01]: (.*?)\.?$/gm)].map(([, cause]) => cause)
    .filter((cause) => cause !== "<unknown>");
  if (causes.length > 0) return causes.join(": ");
  return /^error: (.*)/m.exec(said)?.[1] ?? said.trim().split("\n")[0];
}
