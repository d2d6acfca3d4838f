/** ARCHITECTURE.md draws the tree: every folder that there is, none that is not. */

import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url);
const TEXT = Deno.readTextFileSync(new URL("ARCHITECTURE.md", ROOT));

/** Folders of the drawing, with slashes at their ends, by their indentation. */
function drawn(): string[] {
  const [, drawing] = /## The tree\n\n```\n([^]*?)```/.exec(TEXT)!;
  const open: string[] = [];
  return drawing.split("\n").flatMap((line) => {
    const match = /^( *)([\w]+\/)(?= |$)/.exec(line);
    if (match === null) return [];
    const depth = match[1].length / 2;
    open.length = depth;
    open.push(match[2]);
    return [open.join("")];
  });
}

function folders(path: string): string[] {
  return [...Deno.readDirSync(new URL(path, ROOT))]
    .filter(({ name, isDirectory }) => isDirectory && !name.startsWith(".") && name !== "dist")
    .map(({ name }) => `${path}${name}/`);
}

Deno.test("every folder of the drawing is there", () => {
  for (const path of drawn()) assert.ok(Deno.statSync(new URL(path, ROOT)).isDirectory, path);
});

Deno.test("every folder is drawn, to the second level, and where one is drawn, those beside it", () => {
  const all = new Set(drawn());
  const missing = folders("").filter((path) => !all.has(path));
  for (const top of ["hv/", "devices/", "bios/", "hv/core/", "hv/accel/"]) {
    missing.push(...folders(top).filter((path) => !all.has(path)));
  }
  assert.deepEqual(missing, []);
});

Deno.test("it is read in one sitting: 300 lines; and what it refers to is there", () => {
  assert.ok(TEXT.split("\n").length <= 300);
  const links = [...TEXT.matchAll(/\]\(([^)]+\.md)\)/g)].map(([, link]) => link);
  assert.ok(links.length > 10);
  for (const link of links) assert.ok(Deno.statSync(new URL(link, ROOT)).isFile, link);
});
