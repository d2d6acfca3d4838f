/**
 * The tree as a few modules for each thread instead of hundreds, for a program that starts fast.
 *
 * A start is mostly the loading of modules (bench/README.md has the figures), so what a thread always
 * needs is one module, and what it needs now and then a few more. A bundler that splits code makes a
 * chunk for each set of parts that share something: some fifty for a start. Those of a thread are
 * therefore merged once more, and whoever imported one of them imports the merged one, so that what is
 * loaded later finds the same objects there.
 */

import { runDeno } from "./run_deno.ts";

/** A thread's module, and those of its modules that are merged with all that they import. */
interface Thread {
  readonly entry: string;
  /** Default: the entry itself. */
  readonly merged?: readonly string[];
}

/** The threads of the program; each has a folder of its own, named as its module. */
const THREADS: readonly Thread[] = [
  // What others import must not be the module that awaits the program's end.
  { entry: "main.ts", merged: ["hv/threads/vcpu_thread.ts", "hv/cli/main.ts", "hv/cli/run.ts"] },
  { entry: "hv/threads/vcpu_worker.ts" },
  { entry: "hv/io/io_worker.ts" },
  { entry: "devices/disk/engine/transfer_worker.ts" },
];

/** Modules that are threads. */
export const WORKERS: readonly string[] = THREADS.slice(1).map(({ entry }) => entry);

/** Modules that are loaded by their addresses so that a start from a checkout fetches no package. */
export const LATE_MODULES: readonly string[] = ["devices/display/fast_png.ts"];

/** The program's first module within a folder that `bundle` has filled. */
export const bundledMain = (folder: string): string => `${folder}/main/main.js`;

/** The module that stands in for `path`, within such a folder. */
const bundledPath = (path: string): string => {
  const name = path.slice(path.lastIndexOf("/") + 1).replace(/\.ts$/, "");
  return `${name}/${name}.js`;
};

/**
 * Bundles the tree into `folder`, which is emptied first.
 *
 * @param folder An absolute path.
 * @throws {Error} With what Deno says.
 */
export async function bundle(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Promise.all([
    ...THREADS.map((thread) => bundleThread(thread, folder)),
    ...LATE_MODULES.map((path) => build([path], ["--output", `${folder}/${bundledPath(path)}`])),
  ]);
}

async function bundleThread({ entry, merged = [] }: Thread, folder: string): Promise<void> {
  const own = `${folder}/${bundledPath(entry).split("/")[0]}`;
  await build([entry, ...merged], ["--code-splitting", "--outdir", own]);
  // Beside others, a module that is bundled lies where it lies in the tree.
  const firsts = merged.length > 0
    ? merged.map((path) => path.replace(/\.ts$/, ".js"))
    : [bundledPath(entry).split("/")[1]];
  const places: Places = new Map();
  for (const path of firsts) await merge(`${own}/${path}`, own, places);
  const left = new Map<string, string>();
  for (const path of filesIn(own)) {
    if (places.get(path)?.module === path || !places.has(path)) {
      left.set(path, redirect(await Deno.readTextFile(path), path, { folder, places }));
    }
  }
  for (const [path, { module }] of places) {
    if (path !== module) await Deno.remove(path);
  }
  for (const [path, text] of left) await Deno.writeTextFile(path, text);
}

/** Where modules have gone: into which one, and what their names are called there. */
type Places = Map<
  string,
  { readonly module: string; readonly names: ReadonlyMap<string, string> }
>;

/** Puts a module and all that it imports, unless that has a place already, into one. */
async function merge(first: string, folder: string, places: Places): Promise<void> {
  const parts: string[] = [];
  const visit = async (path: string): Promise<void> => {
    if (places.has(path) || parts.includes(path)) return;
    parts.push(path);
    for (const [, , , , target] of (await Deno.readTextFile(path)).matchAll(IMPORT)) {
      await visit(new URL(target, `file://${path}`).pathname);
    }
  };
  await visit(first);
  const lines: string[] = [];
  for (const [i, path] of parts.entries()) {
    const names = await exportsOf(path);
    const called = new Map(names.map((name) => [name, i === 0 ? name : `part${i}_${name}`]));
    const list = [...called].map(([name, there]) => `${name} as ${there}`);
    lines.push(`export { ${list.join(", ")} } from ${JSON.stringify(path)};\n`);
    places.set(path, { module: first, names: called });
  }
  const all = `${folder}/all.js`;
  await Deno.writeTextFile(all, lines.join(""));
  const others: string[] = [];
  for (const path of filesIn(folder)) {
    if (path !== all && !parts.includes(path)) others.push("--external", path);
  }
  const output = `${first.slice(0, -".js".length)}.merged.js`;
  await build([all], [...others, "--output", output]);
  await Deno.remove(all);
  await Deno.rename(output, first);
}

/** `import{a as b}from"./c.js"`, `export{a}from"./c.js"`, `import"./c.js"`; merged ones have whole paths. */
const IMPORT = /\b(import|export)\s*(?:\{([^}]*)\}\s*(from)\s*)?"([./][^"]+\.js)"/g;

/** The text of a module that finds others in their places, and threads and late modules where they are. */
function redirect(
  text: string,
  path: string,
  { folder, places }: { readonly folder: string; readonly places: Places },
): string {
  let moved = text.replaceAll(IMPORT, (whole, verb, list, _from, target) => {
    const place = places.get(new URL(target, `file://${path}`).pathname);
    if (place === undefined || place.module === path) return whole;
    const there = `"${relative(path, place.module)}"`;
    if (list === undefined) return `${verb}${there}`;
    const names = wordsOf(list).map(([name, as]) => `${place.names.get(name)} as ${as}`);
    return `${verb}{${names.join(",")}}from${there}`;
  });
  // What a merged module imports dynamically.
  moved = moved.replaceAll(
    /"(\/[^"]+\.js)"/g,
    (whole, target) => target.startsWith(`${folder}/`) ? `"${relative(path, target)}"` : whole,
  );
  for (const module of [...WORKERS, ...LATE_MODULES]) {
    const name = module.slice(module.lastIndexOf("/") + 1);
    const there = relative(path, `${folder}/${bundledPath(module)}`);
    moved = moved.replaceAll(`"./${name}"`, `"${there}"`);
  }
  return moved;
}

/** The names that a bundled module exports: the bundler lists them at its end. */
async function exportsOf(path: string): Promise<string[]> {
  const text = await Deno.readTextFile(path);
  return [...text.matchAll(/\bexport\s*\{([^}]*)\}\s*;/g)]
    .flatMap(([, list]) => wordsOf(list).map(([, as]) => as));
}

/** `a as b, c` as pairs of a name and what it is called. */
const wordsOf = (list: string): [name: string, as: string][] =>
  list.split(",").map((word) => word.trim()).filter((word) => word !== "").map((word) => {
    const [name, as = name] = word.split(/\s+as\s+/);
    return [name, as];
  });

/** How the module at `from` names the one at `to`. */
function relative(from: string, to: string): string {
  const [a, b] = [from.split("/").slice(0, -1), to.split("/")];
  const shared = a.findIndex((part, i) => part !== b[i]);
  const common = shared < 0 ? a.length : shared;
  return `${"../".repeat(a.length - common) || "./"}${b.slice(common).join("/")}`;
}

/** All files in and below a folder. */
export function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(`${folder}/${name}`) : [`${folder}/${name}`]
  );
}

/** Names of functions and classes stay, for whoever reads a trace. */
const OPTIONS = ["--quiet", "--platform", "deno", "--minify", "--keep-names"];

const build = (modules: readonly string[], options: readonly string[]): Promise<void> =>
  runDeno(["bundle", ...OPTIONS, ...options, ...modules]);
