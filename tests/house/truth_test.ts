/** What the tree says of itself: files that comments name, options and exit codes that documents tell. */

import assert from "node:assert/strict";
import { DISK_COMMANDS } from "../../hv/cli/disk/options.ts";
import { COMMANDS, EXIT_CODES, ExitCode, programHelp } from "../../hv/cli/words/option_table.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const FOLDERS = ["hv", "devices", "bios", "tests", "bench"];

function* filesOf(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(`${ROOT}${folder}`)) {
    if (isDirectory) yield* filesOf(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}

const FILES = ["main.ts", ...FOLDERS.flatMap((folder) => [...filesOf(folder)])];
const DOCUMENTS = [
  ...["README.md", "ARCHITECTURE.md", "CHANGELOG.md"],
  ...FILES.filter((path) => path.endsWith(".md")),
];
const read = (path: string) => Deno.readTextFileSync(`${ROOT}${path}`);

/** Names that stand for any. */
const PATTERN = /NAME|\*/;
const NAMED = /[\w*][\w./*]*\.ts\b/g;

/** Comments of a module, or all of a document. */
const prose = (path: string) =>
  path.endsWith(".ts")
    ? read(path).split("\n").filter((line) => /^\s*(\*|\/\*\*|\/\/)/.test(line)).join("\n")
    : read(path);

Deno.test("files that comments and documents name are there", () => {
  const isThere = (name: string) =>
    FILES.some((file) => file === name || file.endsWith(`/${name}`) || file.endsWith(name));
  const wrong = [...FILES.filter((file) => file.endsWith(".ts")), ...DOCUMENTS].flatMap((path) =>
    [...prose(path).matchAll(NAMED)].map(([name]) => name)
      .filter((name) => !PATTERN.test(name) && !isThere(name))
      .map((name) => `${path}: ${name}`)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("README and help tell every exit code, in the same words", () => {
  const numbers = EXIT_CODES.map(([code]) => code).filter((code) => code !== "odd");
  assert.deepEqual(numbers.toSorted(), Object.values(ExitCode).toSorted());
  const readme = read("README.md").replaceAll("`", "").replaceAll(/\s+/g, " ");
  const help = programHelp("").replaceAll(/\s+/g, " ");
  for (const [code, meaning] of EXIT_CODES) {
    assert.ok(help.includes(`${code} ${meaning}`), `help: ${code}`);
    assert.match(readme, new RegExp(`[:;] ${code} ${meaning.replaceAll(/[()]/g, "\\$&")}[;.]`));
  }
});

Deno.test("README names only options that there are", () => {
  const options = new Set(
    [...COMMANDS, ...DISK_COMMANDS].flatMap((command) => command.options.map(({ name }) => name)),
  );
  // Those of the tests, and of what makes the single file, are none of hv's.
  for (const name of ["quick", "self-contained", "fast"]) options.add(name);
  const readme = read("README.md");
  const named = [...readme.matchAll(/(?<![\w-])--([a-z][\w-]*)/g)].map(([, name]) => name);
  const others = named.filter((name) => !options.has(name) && !name.startsWith("allow-"));
  assert.deepEqual(others, []);
});
