/**
 * `deno task compile`: packs hv into the single program dist/hv, with every worker and asset in it.
 *
 * Deno finds a worker's module by itself only where the main graph names it, so the workers are named
 * here once more.
 */

/** Modules that are loaded by name at run time. */
export const WORKERS: readonly string[] = ["hv/vcpu_worker.ts", "hv/io_worker.ts"];

/** Modules that are loaded by their addresses so that a start from a checkout fetches no package. */
export const LATE_MODULES: readonly string[] = ["devices/display/fast_png.ts"];

/** Files that go along: the notice that the font's licence asks for. */
export const ASSETS: readonly string[] = ["devices/vga_font_license.txt", "LICENSE"];

/** The command that packs hv into `output`. */
export function compileArguments(output: string): string[] {
  return [
    "compile",
    "--allow-all",
    "--no-check",
    ...[...WORKERS, ...LATE_MODULES, ...ASSETS].flatMap((file) => ["--include", file]),
    "--output",
    output,
    "main.ts",
  ];
}

if (import.meta.main) {
  const output = Deno.args[0] ?? "dist/hv";
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: compileArguments(output),
    cwd: new URL("..", import.meta.url),
    stdin: "null",
  }).spawn().status;
  if (code !== 0) console.error(`Cannot pack hv into ${output}: deno compile has failed`);
  Deno.exit(code);
}
