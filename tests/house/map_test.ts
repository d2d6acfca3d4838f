/** ARCHITECTURE.md draws the tree: every folder that there is, none that is not. */

import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url);
const TEXT = Deno.readTextFileSync(new URL("ARCHITECTURE.md", ROOT));

/** A folder of the drawing, with a slash at its end, and those that its line names. */
interface Drawn {
  readonly path: string;
  readonly named: readonly string[];
}

/** By their indentation. */
function drawn(): Drawn[] {
  const [, drawing] = /## The tree\n\n```\n([^]*?)```/.exec(TEXT)!;
  const open: string[] = [];
  return drawing.split("\n").flatMap((line) => {
    const match = /^( *)([\w]+\/)(?= |$)(.*)/.exec(line);
    if (match === null) return [];
    const depth = match[1].length / 2;
    open.length = depth;
    open.push(match[2]);
    const path = open.join("");
    const named = [...match[3].matchAll(/(?<=[ ,])(\w+\/)(?=[ ,;:.]|$)/g)].map(([, name]) =>
      path + name
    );
    return [{ path, named: named.toSorted() }];
  });
}

function folders(path: string): string[] {
  return [...Deno.readDirSync(new URL(path, ROOT))]
    .filter(({ name, isDirectory }) => isDirectory && !name.startsWith(".") && name !== "dist")
    .map(({ name }) => `${path}${name}/`);
}

Deno.test("every folder of the drawing is there", () => {
  for (const { path, named } of drawn()) {
    for (const folder of [path, ...named]) {
      assert.ok(Deno.statSync(new URL(folder, ROOT)).isDirectory, folder);
    }
  }
});

Deno.test("where a line of the drawing names folders, it names all", () => {
  for (const { path, named } of drawn()) {
    if (named.length === 0 || path === "tests/") continue;
    assert.deepEqual(named, folders(path).toSorted(), path);
  }
});

Deno.test("every folder is drawn, to the second level, and where one is drawn, those beside it", () => {
  const all = new Set(drawn().map(({ path }) => path));
  const missing = folders("").filter((path) => !all.has(path));
  for (const top of ["hv/", "devices/", "bios/", "hv/core/", "hv/accel/"]) {
    missing.push(...folders(top).filter((path) => !all.has(path)));
  }
  assert.deepEqual(missing, []);
});

function* readmes(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    if (isDirectory) yield* readmes(`${folder}${name}/`);
    else if (name === "README.md") yield `${folder}${name}`;
  }
}

Deno.test("every README is in the list at the end, or in that of a folder above it", () => {
  const list = TEXT.slice(TEXT.indexOf("\n## Decisions\n"));
  const missing = ["hv/", "devices/", "bios/", "tests/", "bench/"].flatMap((f) => [...readmes(f)])
    .filter((path) => !path.startsWith("hv/accel/soft/float/") && !list.includes(`](${path})`));
  assert.deepEqual(missing, []);
});

Deno.test("it is read in one sitting: 300 lines; and what it refers to is there", () => {
  assert.ok(TEXT.split("\n").length <= 300);
  const links = [...TEXT.matchAll(/\]\(([^)]+\.md)\)/g)].map(([, link]) => link);
  assert.ok(links.length > 10);
  for (const link of links) assert.ok(Deno.statSync(new URL(link, ROOT)).isFile, link);
});
