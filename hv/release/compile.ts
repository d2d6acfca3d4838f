/**
 * `deno task compile`: makes the single program dist/hv, with every module, worker and asset in it: by
 * `deno compile` where its run-time base can be had, else, or with `--self-contained`, by hv's own
 * launcher (self_contained.ts).
 */

import { parseArgs } from "node:util";
import { bundle, bundledMain } from "./bundle.ts";
import { runDeno } from "./run_deno.ts";
import { buildSelfContained } from "./self_contained.ts";
import { VERSION } from "../version.ts";

/** Files that go along: the notice that the font's licence asks for. */
export const ASSETS: readonly string[] = ["devices/vga/font_license.txt", "LICENSE"];

const ROOT = new URL("../..", import.meta.url);
/** How long a new program may take to say its version, ms: the first start of one unpacks it. */
const VERSION_TIMEOUT_MS = 60_000;

/** The base that somebody has named cannot be one: nothing else is tried in its place. */
export class BaseError extends Error {
  /** For whoever cannot use `instanceof`. */
  override readonly name = "BaseError";
}

/**
 * Packs what `bundle` has put into `folder` into the program `output`, by `deno compile`.
 *
 * @throws {BaseError} When what DENORT_BIN names is no run-time base.
 * @throws {Error} With what Deno says.
 */
export async function pack(folder: string, output: string): Promise<void> {
  const base = Deno.env.get("DENORT_BIN");
  try {
    await runDeno([
      ...["compile", "--quiet", "--allow-all", "--no-check"],
      ...[folder, ...ASSETS].flatMap((path) => ["--include", path]),
      ...["--output", output, bundledMain(folder)],
    ]);
  } catch (error) {
    if (base === undefined) throw error;
    throw notBase(base, (error as Error).message);
  }
}

/**
 * Makes sure that `output` is hv: on another base than Deno's it is whatever that is.
 *
 * @throws {BaseError} When it is not; it is removed then.
 */
export async function checkProgram(output: string): Promise<void> {
  const said = await versionOf(output);
  if (said === `hv ${VERSION}`) return;
  await Deno.remove(output);
  const what = said === ""
    ? "a program on it says nothing"
    : `a program on it is "${said}", not hv`;
  throw notBase(Deno.env.get("DENORT_BIN") ?? "the one that Deno has fetched", what);
}

const notBase = (base: string, what: string) =>
  new BaseError(
    `${base} is no run-time base of deno compile: ${what}; name another with DENORT_BIN, ` +
      "leave it away to have Deno fetch one, or take --self-contained",
  );

/** The first line that a program says to `--version`. */
async function versionOf(program: string): Promise<string> {
  const path = program.includes("/") ? program : `./${program}`;
  try {
    const { stdout } = await new Deno.Command(path, {
      args: ["--version"],
      stdin: "null",
      stderr: "null",
      signal: AbortSignal.timeout(VERSION_TIMEOUT_MS),
    }).output();
    return new TextDecoder().decode(stdout).split("\n")[0];
  } catch {
    return "";
  }
}

/** Makes the program as the command line says. */
async function compile(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { "self-contained": { type: "boolean" }, fast: { type: "boolean" } },
  });
  const [output = new URL("dist/hv", ROOT).pathname, ...more] = positionals;
  if (more.length > 0) throw new Error(`one file is made, not ${positionals.join(" and ")}`);
  const folder = new URL("dist/modules", ROOT).pathname;
  await bundle(folder);
  if (!values["self-contained"]) {
    try {
      await pack(folder, output);
      return await checkProgram(output);
    } catch (error) {
      if (error instanceof BaseError) throw error;
      console.error(`Without deno compile: ${(error as Error).message}`);
    }
  }
  if (!values.fast) console.error("Compressing Deno, which takes a minute; --fast does not");
  await buildSelfContained({
    folder,
    main: bundledMain(folder),
    output,
    assets: new Map(ASSETS.map((path) => [path, new URL(path, ROOT).pathname])),
    level: values.fast ? 3 : 19,
  });
  console.error(`${output}: ${(Deno.statSync(output).size / 2 ** 20).toFixed(1)} MiB`);
}

if (import.meta.main) {
  try {
    await compile(Deno.args);
  } catch (error) {
    console.error(`Cannot make the program: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
