/**
 * `deno task compile`: packs hv into the single program dist/hv, with every worker and asset in it.
 *
 * A start is mostly the loading of modules, so the tree is bundled first: a few modules for each thread
 * instead of hundreds (bench/README.md has the figures). What hv loads by address at run time, its
 * workers among it, is looked for beside the module that asks for it: there stands a module that leads
 * to the bundled one.
 */

/** Modules that are threads. */
export const WORKERS: readonly string[] = [
  "hv/threads/vcpu_worker.ts",
  "hv/io/io_worker.ts",
  "devices/disk/engine/transfer_worker.ts",
];

/** Modules that are loaded by their addresses so that a start from a checkout fetches no package. */
export const LATE_MODULES: readonly string[] = ["devices/display/fast_png.ts"];

/** Files that go along: the notice that the font's licence asks for. */
export const ASSETS: readonly string[] = ["devices/vga/font_license.txt", "LICENSE"];

const MAIN = "main.ts";
const ROOT = new URL("..", import.meta.url);

/** The program's first module within a folder that `bundle` has filled. */
export const bundledMain = (folder: string): string => `${folder}/main.js`;

/**
 * Bundles the tree into `folder`, which is emptied first.
 *
 * @throws {Error} With what Deno says.
 */
export async function bundle(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  const late = [...WORKERS, ...LATE_MODULES];
  await deno([
    ...["bundle", "--quiet", "--platform", "deno", "--code-splitting", "--outdir", folder],
    ...[MAIN, ...late],
  ]);
  for (const path of late) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const bundled = `./${path.replace(/\.ts$/, ".js")}`;
    await Deno.writeTextFile(`${folder}/${name}`, `export * from "${bundled}";\n`);
  }
}

/**
 * Packs what `bundle` has put into `folder` into the program `output`.
 *
 * @throws {Error} With what Deno says.
 */
export async function pack(folder: string, output: string): Promise<void> {
  const late = [...WORKERS, ...LATE_MODULES]
    .map((path) => `${folder}/${path.slice(path.lastIndexOf("/") + 1)}`);
  await deno([
    ...["compile", "--quiet", "--allow-all", "--no-check"],
    ...[...late, ...ASSETS].flatMap((file) => ["--include", file]),
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
    await bundle("dist/modules");
    await pack("dist/modules", output);
  } catch (error) {
    console.error(`Cannot pack hv into ${output}: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
