/**
 * `deno task compile` bundles and packs everything that hv loads. The run-time base of compiled programs cannot be
 * had everywhere, so a stand-in takes its place (DENORT_BIN): what is packed behind it is the same.
 */

import assert from "node:assert/strict";
import { bundle, bundledMain, filesIn, WORKERS } from "../../hv/release/bundle.ts";
import { ASSETS, BaseError, checkProgram, pack } from "../../hv/release/compile.ts";
import { rom } from "../support/payload.ts";
import { VERSION } from "../../hv/version.ts";

const ROOT = new URL("../../", import.meta.url);

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

/** What a bundled module names: imported, or loaded later. */
const addresses = (path: string, pattern = /(?:from|import|import\(|URL\()\s*"(\.[^"]+\.js)"/g) =>
  [...Deno.readTextFileSync(path).matchAll(pattern)]
    .map(([, target]) => new URL(target, `file://${path}`).pathname);

/** What is loaded with a bundled module. */
function closure(path: string, seen = new Set<string>()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const other of addresses(path, /\b(?:from|import)\s*"(\.[^"]+\.js)"/g)) closure(other, seen);
  return seen;
}

/** Does something with a folder that the tree has been bundled into. */
async function withBundle(body: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "hv-test-" });
  try {
    await bundle(`${folder}/modules`);
    await body(`${folder}/modules`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the bundled program has every module, in few files, of which a start loads six", async () => {
  await withBundle((folder) => {
    const files = filesIn(folder).filter((path) => path.endsWith(".js"));
    const text = files.map((path) => Deno.readTextFileSync(path)).join("");
    // Classes keep their names.
    const missing = [...loaded()].filter((path) => {
      const source = Deno.readTextFileSync(new URL(path, ROOT));
      const names = [...source.matchAll(/^export (?:abstract )?class (\w+)/gm)];
      return names.length > 0 && !names.some(([, name]) => text.includes(`"${name}"`));
    });
    assert.deepEqual(missing, []);
    assert.ok(loaded().size > 100, "the modules were found");
    assert.match(text, /IHDR/, "the npm package is in it");
    assert.ok(files.length < loaded().size / 2, `${files.length} files`);
    for (
      const [module, most] of [["main/main.js", 2], ["main/hv/cli/main.js", 2], [
        "main/hv/cli/run.js",
        4,
      ]] as const
    ) {
      const start = closure(`${folder}/${module}`);
      assert.ok(start.size <= most, `${module} loads ${[...start]}`);
    }
    for (const worker of WORKERS) {
      const name = worker.slice(worker.lastIndexOf("/") + 1, -".ts".length);
      assert.equal(closure(`${folder}/${name}/${name}.js`).size, 1, name);
    }
    const broken = files.flatMap((path) =>
      addresses(path).filter((other) => !files.includes(other))
    );
    assert.deepEqual(broken, [], "every address leads somewhere");
    assert.ok(!text.includes(folder), "the program can be moved");
  });
});

Deno.test("the bundled program runs guests and takes screenshots", async () => {
  using image = rom((p) => p.exit(21));
  await withBundle(async (folder) => {
    for (const accelerator of ["auto", "soft"]) {
      const args = ["run", "--accel", accelerator, "--memory", "2M", "--bios", image.path];
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", "--no-config", bundledMain(folder), ...args],
      }).output();
      assert.equal(code, 43, new TextDecoder().decode(stderr));
    }
    const { encode } = await import(`file://${folder}/fast_png/fast_png.js`);
    assert.equal(encode({ width: 1, height: 1, data: new Uint8Array(4), channels: 4 })[1], 0x50);
  });
});

Deno.test("the packed program has every bundled module, every worker and every asset in it", async () => {
  await withBundle(async (folder) => {
    const standIn = `${folder}/../denort`;
    await Deno.copyFile("/bin/true", standIn);
    const output = `${folder}/../hv`;
    Deno.env.set("DENORT_BIN", standIn);
    try {
      await pack(folder, output);
    } finally {
      Deno.env.delete("DENORT_BIN");
    }
    const packed = new TextDecoder("latin1").decode(await Deno.readFile(output));
    // The index of the packed files is JSON, with each file's name as "n".
    const isPacked = (path: string) => packed.includes(`"n":"${path.split("/").at(-1)}"`);
    const missing = [...filesIn(folder), ...ASSETS].filter((path) => !isPacked(path));
    assert.deepEqual(missing, []);
  });
});

Deno.test("a base that is none is refused, whatever it is, and its product does not stay", async () => {
  await withBundle(async (folder) => {
    const directory = `${folder}/..`;
    Deno.writeTextFileSync(`${directory}/empty`, "", { mode: 0o755 });
    Deno.writeTextFileSync(`${directory}/other`, "#!/bin/sh\necho other 1.0\n", { mode: 0o755 });
    const bases: readonly (readonly [base: string, why: RegExp])[] = [
      [Deno.execPath(), /a program on it is "deno [^"]+", not hv/],
      ["/bin/true", /a program on it (is "true|says nothing)/],
      [`${directory}/empty`, /Not an ELF file/],
      [`${directory}/other`, /Not an ELF file/],
      [`${directory}/missing`, /Could not find denort at .*No such file/],
    ];
    for (const [base, why] of bases) {
      const output = `${directory}/hv`;
      Deno.env.set("DENORT_BIN", base);
      try {
        await assert.rejects(async () => {
          await pack(folder, output);
          await checkProgram(output);
        }, (error) => {
          assert.ok(error instanceof BaseError, `${error}`);
          assert.ok(error.message.startsWith(`${base} is no run-time base of deno compile: `));
          assert.match(error.message, why);
          assert.match(error.message, /--self-contained$/);
          assert.ok(!error.message.includes("\n"));
          return true;
        });
      } finally {
        Deno.env.delete("DENORT_BIN");
      }
      assert.throws(() => Deno.statSync(output), Deno.errors.NotFound, base);
    }
  });
});

Deno.test("every worker is started by a literal address that the compiler can see", () => {
  const started = [...sources("hv/"), ...sources("devices/")].flatMap((path) => {
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
