/** `deno task compile`: packs hv into the single program dist/hv, with every worker and asset in it. */

import { bundle, bundledMain } from "./bundle.ts";

/** Files that go along: the notice that the font's licence asks for. */
export const ASSETS: readonly string[] = ["devices/vga/font_license.txt", "LICENSE"];

const ROOT = new URL("..", import.meta.url);

/**
 * Packs what `bundle` has put into `folder` into the program `output`.
 *
 * @throws {Error} With what Deno says.
 */
export async function pack(folder: string, output: string): Promise<void> {
  await deno([
    ...["compile", "--quiet", "--allow-all", "--no-check"],
    ...[folder, ...ASSETS].flatMap((path) => ["--include", path]),
    ...["--output", output, bundledMain(folder)],
  ]);
}

async function deno(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
  }).output();
  if (success) return;
  throw new Error(`deno ${args[0]} has failed: ${new TextDecoder().decode(stderr).trim()}`);
}

if (import.meta.main) {
  const output = Deno.args[0] ?? "dist/hv";
  try {
    const folder = new URL("dist/modules", ROOT).pathname;
    await bundle(folder);
    await pack(folder, output);
  } catch (error) {
    console.error(`Cannot pack hv into ${output}: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
