/**
 * `deno task compile` packs everything that hv loads. The run-time base of compiled programs cannot be
 * had everywhere, so a stand-in takes its place (DENORT_BIN): what is packed behind it is the same.
 */

import assert from "node:assert/strict";
import { ASSETS, compileArguments, WORKERS } from "../hv/compile.ts";
import { VERSION } from "../hv/version.ts";

const ROOT = new URL("../", import.meta.url);

function* sources(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder, ROOT))) {
    if (entry.isDirectory) yield* sources(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield `${folder}${entry.name}`;
  }
}

/** Modules that a file imports, also when it runs, types left out. */
function imports(path: string): string[] {
  const text = Deno.readTextFileSync(new URL(path, ROOT));
  const found = text.matchAll(
    /(?:^(?:import|export)\s(?!type\s)[^;]*?from\s+|import\(\s*|new URL\(\s*)"(\.[^"]+\.ts)"/gm,
  );
  return [...found].map(([, target]) =>
    new URL(target, new URL(path, ROOT)).href.slice(ROOT.href.length)
  );
}

/** Everything that main.ts and the workers come to load. */
function loaded(): Set<string> {
  const seen = new Set<string>();
  const queue = ["main.ts", ...WORKERS];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    queue.push(...imports(path));
  }
  return seen;
}

Deno.test("the packed program has every module, every worker and every asset in it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const standIn = `${folder}/denort`;
    await Deno.copyFile("/bin/true", standIn);
    const output = `${folder}/hv`;
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: compileArguments(output),
      cwd: ROOT,
      env: { DENORT_BIN: standIn, NO_COLOR: "1" },
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const packed = new TextDecoder("latin1").decode(await Deno.readFile(output));
    // The index of the packed files is JSON, with each file's name as "n".
    const isPacked = (path: string) => packed.includes(`"n":"${path.split("/").at(-1)}"`);
    const missing = [...loaded(), ...ASSETS].filter((path) => !isPacked(path));
    assert.deepEqual(missing, []);
    assert.ok(isPacked("fast-png"), "the npm package is packed");
    assert.ok(loaded().size > 100, "the modules were found");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("every worker is started by a literal address that the compiler can see", () => {
  const started = [...sources("hv/")].flatMap((path) => {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    return [...text.matchAll(/new Worker\(\s*new URL\("([^"]+)", import\.meta\.url\)/g)]
      .map(([, target]) => new URL(target, new URL(path, ROOT)).href.slice(ROOT.href.length));
  });
  assert.deepEqual(new Set(started), new Set(WORKERS));
});

Deno.test("the version is the same in deno.json and in the program", () => {
  const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  assert.equal(config.version, VERSION);
});
