/** How the tree is built (ARCHITECTURE.md, "Floors"): this holds it to that. */

import assert from "node:assert/strict";
import { LATE_MODULES } from "../../hv/release/bundle.ts";

const ROOT = new URL("../../", import.meta.url);

/** Which floor a file is on, by the first prefix that fits. */
const LAYERS: readonly [prefix: string, layer: string][] = [
  ["main.ts", "cli"],
  ["hv/cli/", "cli"],
  ["hv/mod.ts", "library"],
  ["hv/release/", "release"],
  ["hv/errors.ts", "base"],
  ["hv/version.ts", "base"],
  ["hv/machine/", "machine"],
  ["hv/io/", "io"],
  ["hv/handles/", "handles"],
  ["hv/threads/", "threads"],
  ["hv/options/", "options"],
  ["hv/pc/", "board"],
  ["hv/linux/", "linux"],
  ["hv/boot/", "boot"],
  ["hv/accel/", "accel"],
  ["hv/sys/", "sys"],
  ["hv/core/", "core"],
  ["devices/disk/", "backend"],
  ["devices/share/", "backend"],
  ["devices/vsock/", "backend"],
  ["devices/net/", "backend"],
  ["devices/", "devices"],
  ["bios/", "bios"],
];

/** What the parts stand on that know no machine. */
const PARTS = ["accel", "boot", "devices", "backend", "core", "sys", "base"];

/** What each floor may import besides itself. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  cli: ["machine", "handles", "threads", "options", "board", "linux", ...PARTS],
  library: [
    "machine",
    "handles",
    "options",
    "board",
    "accel",
    "devices",
    "backend",
    "core",
    "base",
  ],
  machine: ["io", "handles", "threads", "options", "board", ...PARTS],
  io: ["threads", "options", "board", "devices", "backend", "core", "sys", "base"],
  handles: ["options", "board", "devices", "core", "base"],
  threads: ["board", "accel", "devices", "core", "sys"],
  options: ["board", "accel", "backend", "core", "base"],
  board: ["devices", "bios", "accel", "boot", "core", "base"],
  accel: ["core", "sys"],
  boot: ["core"],
  linux: ["boot", "core"],
  bios: ["devices", "accel", "core"],
  backend: ["core", "sys"],
  devices: ["core"],
  release: ["base"],
  sys: [],
  core: [],
  base: [],
};

function* sources(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder, ROOT))) {
    const path = `${folder}${entry.name}`;
    if (entry.isDirectory) yield* sources(`${path}/`);
    else if (path.endsWith(".ts")) yield path;
  }
}

const layerOf = (path: string) => LAYERS.find(([prefix]) => path.startsWith(prefix))?.[1];

const withoutComments = (text: string) => text.replaceAll(/^\s*(?:\/\*[^]*?\*\/|\/\/.*)$/gm, "");

/** Files of the tree that `path` imports, types included. */
function imports(path: string): string[] {
  const text = withoutComments(Deno.readTextFileSync(new URL(path, ROOT)));
  const found = text.matchAll(/(?:from\s+|import\s*\(?\s*|new URL\(\s*)"(\.[^"]+\.ts)"/g);
  return [...found].map(([, target]) =>
    new URL(target, new URL(path, ROOT)).href.slice(ROOT.href.length)
  );
}

const files = ["main.ts", ...["hv/", "devices/", "bios/"].flatMap((f) => [...sources(f)])];

Deno.test("imports go one way", () => {
  const wrong: string[] = [];
  for (const path of files) {
    const layer = layerOf(path)!;
    for (const target of imports(path)) {
      const other = layerOf(target);
      if (other === undefined) wrong.push(`${path} imports ${target}, which is in no layer`);
      else if (other !== layer && !ALLOWED[layer].includes(other)) {
        wrong.push(`${path} (${layer}) imports ${target} (${other})`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

/** The cells of a table of ARCHITECTURE.md, without its head. */
function table(section: string): string[][] {
  const text = Deno.readTextFileSync(new URL("ARCHITECTURE.md", ROOT));
  const rows = text.slice(text.indexOf(`\n## ${section}\n`)).match(/(^\|.*\n)+/m)![0];
  return rows.trimEnd().split("\n").slice(2).map((row) =>
    row.split("|").slice(1, -1).map((cell) => cell.trim())
  );
}

const codes = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

Deno.test("ARCHITECTURE.md has the same floors, from top to bottom", () => {
  const told = table("Floors").map(([name, where, allowed]) => {
    const [plain, left = ""] = allowed.split(" but ");
    const parts = PARTS.filter((part) => !codes(left).includes(part));
    const names = [...codes(plain), ...(/\bparts\b/.test(plain) ? parts : [])];
    return { name: codes(name)[0], where: codes(where), names };
  });
  assert.deepEqual(told.map(({ name }) => name).toSorted(), Object.keys(ALLOWED).toSorted());
  for (const [row, { name, where, names }] of told.entries()) {
    const places = LAYERS.filter(([, layer]) => layer === name).map(([prefix]) => prefix);
    assert.deepEqual(where.toSorted(), places.toSorted(), name);
    assert.deepEqual(names.toSorted(), ALLOWED[name].toSorted(), name);
    const below = told.slice(row + 1).map(({ name }) => name);
    assert.deepEqual(names.filter((other) => !below.includes(other)), [], `${name}, a row below`);
  }
});

Deno.test("what a floor may import it does import", () => {
  const used = new Set(
    files.flatMap((path) =>
      imports(path).map((target) => `${layerOf(path)} imports ${layerOf(target)}`)
    ),
  );
  const idle = Object.entries(ALLOWED)
    .flatMap(([layer, allowed]) => allowed.map((other) => `${layer} imports ${other}`))
    .filter((edge) => !used.has(edge));
  assert.deepEqual(idle, []);
});

Deno.test("imports make no circle", () => {
  const targets = new Map(files.map((path) => [path, imports(path)]));
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const from = trail.indexOf(path);
    assert.ok(from < 0, `${[...trail.slice(from), path].join(" imports ")}`);
    if (done.has(path)) return;
    for (const target of targets.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of files) visit(path, []);
});

Deno.test("a start downloads nothing: packages are named only in modules that are loaded late", () => {
  const early = files.filter((path) => !LATE_MODULES.includes(path));
  const outside = early.flatMap((path) => {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    const found = text.matchAll(
      /^(?:import|export)\s(?:[^;"]*?\sfrom\s)?\s*"([^"]+)"|import\(\s*"([^"]+)"/gm,
    );
    return [...found].map(([, fixed, late]) => fixed ?? late)
      .filter((name) => !/^(\.|node:)/.test(name)).map((name) => `${path} imports ${name}`);
  });
  assert.deepEqual(outside, []);
  const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  assert.equal(config.imports, undefined, "`deno task` downloads all that deno.json imports");
  assert.equal(config.lock, false, "`deno task` downloads all that deno.lock names");
});

Deno.test("every file begins by saying what it is", () => {
  const silent = files.filter((path) => {
    return !Deno.readTextFileSync(new URL(path, ROOT)).startsWith("/**");
  });
  assert.deepEqual(silent, []);
});

Deno.test("hv/core uses neither Deno nor the foreign-function interface", () => {
  for (const path of files.filter((path) => path.startsWith("hv/core/"))) {
    const text = withoutComments(Deno.readTextFileSync(new URL(path, ROOT)));
    assert.doesNotMatch(text, /\bDeno\./, path);
  }
});

Deno.test("hv/sys is the only place with foreign functions", () => {
  for (const path of files.filter((path) => !path.startsWith("hv/sys/"))) {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    assert.doesNotMatch(text, /Deno\.(dlopen|Unsafe)/, path);
  }
});

Deno.test("no file is longer than one sitting can hold: 600 lines", () => {
  const long = files.map((path) => ({
    path,
    lines: Deno.readTextFileSync(new URL(path, ROOT)).split("\n").length,
  })).filter(({ lines }) => lines > 600);
  assert.deepEqual(long, []);
});

Deno.test("whoever opens a folder sees what it is about: about twenty entries", () => {
  const crowded: string[] = [];
  const visit = (folder: string): void => {
    const entries = [...Deno.readDirSync(new URL(folder, ROOT))];
    if (entries.length > 22) crowded.push(`${folder} has ${entries.length}`);
    for (const { name, isDirectory } of entries) if (isDirectory) visit(`${folder}${name}/`);
  };
  for (const folder of ["hv/", "devices/", "bios/", "tests/", "bench/"]) visit(folder);
  assert.deepEqual(crowded, []);
});
