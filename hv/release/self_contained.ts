/**
 * Builds the single file that needs nothing on the system it runs on: the launcher (launcher/), Deno,
 * and hv's bundled modules, compressed.
 */

import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { constants, zstdCompressSync } from "node:zlib";
import { filesIn } from "./bundle.ts";

/** What the launcher finds below its version's directory. */
const PROGRAM = "hv";
const MODULES = "modules";
const CACHE = "cache";
/** Deno's file for compiled code, in its cache, and beside that as it is at first (launcher/code.c). */
const CODE = "v8_code_cache_v2";
/**
 * The size of a page in it. Only the log of such a file has checksums (SQLite), so all should stay there
 * forever: a changed byte elsewhere would be run as code. After 1,000 pages the log goes into the file,
 * which with Deno's 4 KiB is less than hv's code takes; of these it takes some 500.
 */
export const CODE_PAGE_BYTES = 32_768;

/**
 * How Deno is started: with the permissions that the README names, with nothing of what lies around it,
 * and never to ask or to fetch.
 */
const OPTIONS: readonly string[] = [
  "run",
  "--quiet",
  "--no-config",
  "--no-lock",
  "--cached-only",
  "--no-prompt",
  "--unstable-lazy-dynamic-imports",
  "--allow-ffi",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-net",
  "--allow-run",
];

const LAUNCHER = new URL("./launcher/", import.meta.url);
const SOURCES: readonly string[] = [
  "main.c",
  "own_file.c",
  "copy.c",
  "code.c",
  "version_directory.c",
];
/** What a compiled launcher consists of besides the C library. */
const LIBRARIES: readonly string[] = ["-lzstd", "-lmd"];
const MAGIC = "hvfile1\n";
const FOOTER_BYTES = 8 + 4 * 8 + 32;

/** What to put into the file. */
export interface SelfContained {
  /** The folder of the bundled modules, and the first of them. */
  readonly folder: string;
  readonly main: string;
  /** The file to make. */
  readonly output: string;
  /** Other files that go along, by the names that they get. */
  readonly assets?: ReadonlyMap<string, string>;
  /** The Deno program; default: the one that runs. */
  readonly deno?: string;
  /** zstd's level, 1 to 19: 19, the default, takes a minute, 3 a second. */
  readonly level?: number;
}

/** A file that the launcher unpacks. */
interface Part {
  readonly name: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
}

/**
 * Makes the file, which is there when it is complete.
 *
 * @throws {Error} When there is no C compiler, or it lacks a library.
 */
export async function buildSelfContained(
  { folder, main, output, assets = new Map(), deno = Deno.execPath(), level = 19 }: SelfContained,
): Promise<void> {
  const parts: Part[] = [{ name: PROGRAM, mode: 0o500, bytes: Deno.readFileSync(deno) }];
  for (const path of filesIn(folder).sort()) {
    const name = `${MODULES}${path.slice(folder.length)}`;
    parts.push({ name, mode: 0o400, bytes: Deno.readFileSync(path) });
  }
  for (const [name, path] of assets) {
    parts.push({ name, mode: 0o400, bytes: Deno.readFileSync(path) });
  }
  parts.push({ name: CODE, mode: 0o400, bytes: await emptyCode() });
  const launcher = await compileLauncher(`${MODULES}${main.slice(folder.length)}`);
  const manifest = new TextEncoder().encode(parts.map(lineOf).join(""));
  const files = zstdCompressSync(joined(parts.map(({ bytes }) => bytes)), {
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
  const footer = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(footer.buffer);
  footer.set(new TextEncoder().encode(MAGIC));
  const numbers = [
    launcher.length,
    manifest.length,
    launcher.length + manifest.length,
    files.length,
  ];
  numbers.forEach((number, i) => view.setBigUint64(8 + 8 * i, BigInt(number), true));
  footer.set(createHash("sha256").update(manifest).digest(), 8 + 4 * 8);
  const begun = `${output}.new`;
  Deno.writeFileSync(begun, joined([launcher, manifest, files, footer]), { mode: 0o755 });
  Deno.chmodSync(begun, 0o755);
  Deno.renameSync(begun, output);
}

const lineOf = ({ name, mode, bytes }: Part): string =>
  `${createHash("sha256").update(bytes).digest("hex")} ${bytes.length} ${
    mode.toString(8)
  } ${name}\n`;

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Deno's file for compiled code, with nothing in it yet. */
async function emptyCode(): Promise<Uint8Array> {
  const directory = await Deno.makeTempDir({ prefix: "hv-code-" });
  try {
    const path = `${directory}/${CODE}`;
    const database = new DatabaseSync(path);
    database.exec(`PRAGMA page_size=${CODE_PAGE_BYTES}; PRAGMA journal_mode=WAL`);
    // Makes the first page.
    database.exec("PRAGMA user_version=1");
    database.close();
    return await Deno.readFile(path);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The launcher as a program that needs no library of the host. */
async function compileLauncher(module: string): Promise<Uint8Array> {
  const directory = await Deno.makeTempDir({ prefix: "hv-launcher-" });
  try {
    const output = `${directory}/launcher`;
    await compile([
      ...["-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-s"],
      `-DHV_PROGRAM=${JSON.stringify(PROGRAM)}`,
      `-DHV_MODULE=${JSON.stringify(module)}`,
      `-DHV_CACHE=${JSON.stringify(CACHE)}`,
      `-DHV_CODE=${JSON.stringify(CODE)}`,
      `-DHV_OPTIONS=${OPTIONS.map((option) => JSON.stringify(option)).join(",")}`,
      ...["-o", output, ...SOURCES.map((name) => new URL(name, LAUNCHER).pathname), ...LIBRARIES],
    ]);
    return await Deno.readFile(output);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function compile(args: readonly string[]): Promise<void> {
  const advice = "a C compiler and the static libraries of zstd and libmd are needed " +
    "(Debian: gcc libc6-dev libzstd-dev libmd-dev)";
  let result: Deno.CommandOutput;
  try {
    result = await new Deno.Command("cc", { args: [...args], stdin: "null" }).output();
  } catch (error) {
    throw new Error(`cannot run cc: ${(error as Error).message}; ${advice}`);
  }
  if (result.success) return;
  const said = new TextDecoder().decode(result.stderr).trim();
  const reason = said.split("\n").find((line) => /error|cannot find/.test(line)) ?? said;
  throw new Error(`cc has failed: ${reason}; ${advice}`);
}
