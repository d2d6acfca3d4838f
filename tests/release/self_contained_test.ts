/**
 * The single file: what its launcher does with the cache, tried with a script in Deno's place. The real
 * one runs in tests/guest/single_file_test.ts.
 */

import assert from "node:assert/strict";
import { buildSelfContained } from "../../hv/release/self_contained.ts";
import { type Outcome, outcome, Scratch } from "../support/hv_process.ts";
import { Random, seed } from "../support/random.ts";
import { fileTest, isRoot, run, start } from "../support/single_file.ts";

const HOST_ERROR = 4;

/** A file whose "Deno" is a script, with a module so that it unpacks folders, too. */
async function scriptFile(scratch: Scratch, script = 'shift 15; echo "$@"', output = "hv") {
  const modules = `${scratch.path}/modules-${output}`;
  Deno.mkdirSync(`${modules}/main`, { recursive: true });
  Deno.writeTextFileSync(`${modules}/main/main.js`, "// a module\n".repeat(1000));
  const deno = `${scratch.path}/deno-${output}`;
  Deno.writeTextFileSync(deno, `#!/bin/sh\n${script}\n`);
  await buildSelfContained({
    folder: modules,
    main: `${modules}/main/main.js`,
    output: `${scratch.path}/${output}`,
    deno,
    level: 1,
  });
  return `${scratch.path}/${output}`;
}

/** Everything is there and in order: what is said comes from the script, and nothing else is said. */
function assertRuns({ code, stdout, stderr }: Outcome, said = "--version"): void {
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(stdout, `${said}\n`);
}

function assertRefuses({ code, stdout, stderr }: Outcome, line: RegExp): void {
  assert.deepEqual([code, stdout], [HOST_ERROR, ""], stderr);
  assert.match(stderr, line);
  assert.equal(stderr.trim().split("\n").length, 1, stderr);
}

/** The version's directory below a cache. */
function versionIn(cache: string): string {
  const names = [...Deno.readDirSync(`${cache}/hv`)].map(({ name }) => name);
  const [name] = names.filter((one) => /^(?!0{32})[0-9a-f]{32}$/.test(one));
  return `${cache}/hv/${name}`;
}

fileTest(
  "the first start unpacks, later ones do not, and words come through as they are",
  async () => {
    using scratch = new Scratch();
    const file = await scriptFile(scratch, 'shift 15; for word; do echo "[$word]"; done; exit 33');
    const cache = `${scratch.path}/cache`;
    const env = { XDG_CACHE_HOME: cache };
    const words = ["run", "a b", "", "--x=*", "ü"];
    const first = await run(file, words, { env });
    assert.deepEqual(first, { code: 33, stdout: "[run]\n[a b]\n[]\n[--x=*]\n[ü]\n", stderr: "" });
    const version = versionIn(cache);
    const { ino, mode } = Deno.statSync(version);
    assert.equal(mode! & 0o777, 0o700, "it is the user's alone");
    assert.deepEqual(await run(file, words, { env }), first);
    assert.equal(Deno.statSync(version).ino, ino);
    Deno.symlinkSync(file, `${scratch.path}/link`);
    assert.deepEqual(await run(`${scratch.path}/link`, words, { env }), first, "by a link");
    const path = { ...env, PATH: `${scratch.path}:${Deno.env.get("PATH")}` };
    assert.deepEqual(await run("hv", words, { env: path, prefix: ["env"] }), first, "by PATH");
  },
);

fileTest("where it unpacks: XDG_CACHE_HOME, HOME, and /tmp where neither says", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch);
  const env = { PATH: "/usr/bin:/bin" };
  const home = `${scratch.path}/home`;
  Deno.mkdirSync(home);
  const args = ["--version"];
  assertRuns(await run(file, args, { env: { ...env, HOME: home }, clearEnv: true }));
  versionIn(`${home}/.cache`);
  const relative = { ...env, HOME: home, XDG_CACHE_HOME: "relative" };
  assertRuns(await run(file, args, { env: relative, clearEnv: true }));
  assert.throws(() => Deno.statSync("relative"));
  const own = `/tmp/hv-${Deno.uid()}`;
  const before = existsAt(own);
  const absent = `${scratch.path}/absent`;
  const homes: readonly Record<string, string>[] = [{}, { HOME: absent }, { HOME: "relative" }];
  try {
    for (const none of homes) {
      assertRuns(await run(file, args, { env: { ...env, ...none }, clearEnv: true }));
    }
    assert.ok(!existsAt(absent), "a home is not made");
    assert.equal(Deno.statSync(own).mode! & 0o777, 0o700);
  } finally {
    if (!before && existsAt(own)) Deno.removeSync(own, { recursive: true });
  }
});

const existsAt = (path: string) => {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
};

fileTest("what users have set for a Deno or Node of theirs does not reach it", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch, "env");
  const cache = `${scratch.path}/cache`;
  const others = {
    ...{ DENO_DIR: "/elsewhere", DENO_V8_FLAGS: "--x", DENO_JOBS: "3", DENO_: "" },
    ...{ NODE_OPTIONS: "--require /x", NODE_CHANNEL_FD: "3", OTEL_DENO: "true" },
  };
  const env = { XDG_CACHE_HOME: cache, OTHER: "DENO_", AN_OTEL_: "1", ...others };
  const { stdout } = await run(file, [], { env, prefix: ["env", "-i", ...assignments(env)] });
  const reached = stdout.trim().split("\n").filter((line) => !/^(PWD|_|SHLVL)=/.test(line)).sort();
  const own = ["DENO_NO_UPDATE_CHECK=1", `DENO_DIR=${versionIn(cache)}/cache`];
  assert.deepEqual(
    reached,
    [...own, `XDG_CACHE_HOME=${cache}`, "OTHER=DENO_", "AN_OTEL_=1"].sort(),
  );
});

const assignments = (env: Record<string, string>): string[] =>
  Object.entries(env).map(([name, value]) => `${name}=${value}`);

/** Runs behind a line of shell, which says in which state it is started. */
const behind = (line: string): readonly string[] => ["sh", "-c", `${line}; exec "$@"`, "sh"];

fileTest("it is started with any mask, and without standard input or output", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch, "umask; readlink /proc/$$/fd/0 || echo closed");
  const env = { XDG_CACHE_HOME: `${scratch.path}/cache` };
  const first = await run(file, [], { env, prefix: behind("umask 0777") });
  assert.deepEqual(first, { code: 0, stdout: "0777\n/dev/null\n", stderr: "" });
  // The directory that it keeps open must not become its input.
  const closed = await run(file, [], { env, prefix: behind("umask 022; exec <&-") });
  assert.deepEqual(closed, { code: 0, stdout: "0022\nclosed\n", stderr: "" });
});

fileTest("in a directory that has been removed it says so", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch);
  const env = { XDG_CACHE_HOME: `${scratch.path}/cache` };
  const gone = behind(`mkdir ${scratch.path}/gone; cd ${scratch.path}/gone; rmdir ../gone`);
  assertRefuses(
    await run(file, ["--version"], { env, prefix: gone }),
    /^hv: the directory that it was started in has been removed: go to another$/m,
  );
});

fileTest("two first starts at once, many times, and both run", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch);
  for (let round = 0; round < 20; round++) {
    const env = { XDG_CACHE_HOME: `${scratch.path}/cache${round}` };
    const both = await Promise.all([1, 2].map(() => run(file, ["--version"], { env })));
    both.forEach((one) => assertRuns(one));
    assert.deepEqual(
      [...Deno.readDirSync(`${env.XDG_CACHE_HOME}/hv`)].filter(({ name }) => name !== ".lock")
        .length,
      1,
    );
  }
});

fileTest(
  "three versions start in turn, some are killed, and no copy is ever found damaged",
  async () => {
    using scratch = new Scratch();
    const names = ["one", "two", "three"];
    const files = new Map<string, string>();
    for (const name of names) {
      files.set(name, await scriptFile(scratch, `: ${"x".repeat(100_000)}; echo ${name}`, name));
    }
    const env = { XDG_CACHE_HOME: `${scratch.path}/cache` };
    const random = new Random(seed());
    const starts = async (isKilled: boolean) => {
      for (let i = 0; i < 150; i++) {
        const name = names[random.below(names.length)];
        const process = start(files.get(name)!, [], { env });
        const timer = isKilled ? setTimeout(() => killIfRunning(process), random.below(8)) : 0;
        const result = await outcome(process);
        clearTimeout(timer);
        assert.equal(result.stderr, "");
        // One that was killed has said all or nothing.
        if (!isKilled || result.code === 0) {
          assert.deepEqual(result, { code: 0, stdout: `${name}\n`, stderr: "" });
        }
      }
    };
    await Promise.all([false, false, true].map(starts));
  },
);

function killIfRunning(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

/** What may have become of a copy. Deno's place and a module's. */
const DAMAGES: readonly (readonly [name: string, damage: (version: string) => void])[] = [
  ["the program cut off", (at) => Deno.truncateSync(`${at}/hv`, 5)],
  ["the program empty", (at) => Deno.truncateSync(`${at}/hv`, 0)],
  ["a byte of the program changed", (at) => changeByte(`${at}/hv`)],
  ["a byte of a module changed", (at) => changeByte(`${at}/modules/main/main.js`)],
  ["the file for compiled code changed", (at) => changeByte(`${at}/v8_code_cache_v2`)],
  ["the program missing", (at) => Deno.removeSync(`${at}/hv`)],
  ["a module missing", (at) => Deno.removeSync(`${at}/modules/main/main.js`)],
  ["a folder missing", (at) => Deno.removeSync(`${at}/modules`, { recursive: true })],
  ["another program", (at) => {
    Deno.removeSync(`${at}/hv`);
    Deno.writeTextFileSync(`${at}/hv`, "#!/bin/sh\necho wrong\n", { mode: 0o755 });
  }],
  ["a link to another program", (at) => {
    Deno.removeSync(`${at}/hv`);
    Deno.symlinkSync("/bin/echo", `${at}/hv`);
  }],
  ["a directory in the program's place", (at) => {
    Deno.removeSync(`${at}/hv`);
    Deno.mkdirSync(`${at}/hv`);
  }],
];

function changeByte(path: string): void {
  Deno.chmodSync(path, 0o700);
  using file = Deno.openSync(path, { read: true, write: true });
  file.seekSync(20, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array([0x40]));
}

fileTest("a damaged copy is told of and made anew, however it was damaged", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch);
  const cache = `${scratch.path}/cache`;
  const env = { XDG_CACHE_HOME: cache };
  assertRuns(await run(file, ["--version"], { env }));
  const version = versionIn(cache);
  for (const [name, damage] of DAMAGES) {
    Deno.chmodSync(`${version}/hv`, 0o700);
    damage(version);
    const { code, stdout, stderr } = await run(file, ["--version"], { env });
    assert.deepEqual([code, stdout], [0, "--version\n"], `${name}: ${stderr}`);
    assert.match(stderr, /^hv: the copy in \S+ is damaged \(\S+\): unpacking it anew\n$/, name);
    assertRuns(await run(file, ["--version"], { env }));
  }
});

fileTest(
  "compiled code in a file that has been written to is forgotten, with its log",
  async () => {
    using scratch = new Scratch();
    const file = await scriptFile(scratch);
    const env = { XDG_CACHE_HOME: `${scratch.path}/cache` };
    assertRuns(await run(file, ["--version"], { env }));
    const cache = `${versionIn(env.XDG_CACHE_HOME)}/cache`;
    const code = `${cache}/v8_code_cache_v2`;
    const atFirst = Deno.readFileSync(code);
    const log = `${code}-wal`;
    Deno.writeTextFileSync(log, "a log");
    assertRuns(await run(file, ["--version"], { env }));
    assert.ok(existsAt(log), "the file is as it was");
    const damages: readonly (() => void)[] = [
      () => changeByte(code),
      () => Deno.truncateSync(code, 100),
      () => Deno.writeFileSync(code, new Uint8Array(1 << 20)),
      () => Deno.removeSync(code),
      () => {
        Deno.removeSync(code);
        Deno.symlinkSync("/dev/zero", code);
      },
      () => {
        Deno.removeSync(cache, { recursive: true });
        Deno.writeTextFileSync(cache, "");
      },
    ];
    for (const [i, damage] of damages.entries()) {
      Deno.writeTextFileSync(log, "a log");
      damage();
      assertRuns(await run(file, ["--version"], { env }));
      assert.ok(!existsAt(log), `damage ${i}`);
      assert.deepEqual(Deno.readFileSync(code), atFirst);
    }
  },
);

fileTest("a copy that was moved with its home is looked through once and used", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch);
  assertRuns(await run(file, ["--version"], { env: { XDG_CACHE_HOME: `${scratch.path}/a` } }));
  const { success } = await new Deno.Command("cp", {
    args: ["-r", `${scratch.path}/a`, `${scratch.path}/b`],
  }).output();
  assert.ok(success);
  const env = { XDG_CACHE_HOME: `${scratch.path}/b` };
  Deno.chmodSync(versionIn(env.XDG_CACHE_HOME), 0o700);
  assertRuns(await run(file, ["--version"], { env }));
  const { ino } = Deno.statSync(versionIn(env.XDG_CACHE_HOME));
  assertRuns(await run(file, ["--version"], { env }));
  assert.equal(Deno.statSync(versionIn(env.XDG_CACHE_HOME)).ino, ino);
});

fileTest(
  "a start that is killed while it unpacks leaves nothing that the next one minds",
  async () => {
    using scratch = new Scratch();
    const file = await scriptFile(scratch);
    const env = { XDG_CACHE_HOME: `${scratch.path}/cache` };
    assertRuns(await run(file, ["--version"], { env }));
    const version = versionIn(env.XDG_CACHE_HOME);
    // As it is then: a part of it under the name that it has meanwhile.
    const begun = version.replace(/([^/]+)$/, ".$1");
    Deno.renameSync(version, begun);
    Deno.removeSync(`${begun}/hv.stamp`);
    Deno.chmodSync(`${begun}/hv`, 0o700);
    Deno.truncateSync(`${begun}/hv`, 7);
    assertRuns(await run(file, ["--version"], { env }));
    assert.ok(!existsAt(begun));
  },
);

fileTest(
  "a new version removes old ones, but neither one that runs nor what is not its own",
  async () => {
    using scratch = new Scratch();
    const fifo = `${scratch.path}/fifo`;
    await new Deno.Command("mkfifo", { args: [fifo] }).output();
    const [old, running, next] = [
      await scriptFile(scratch, 'shift 15; echo "$@"', "old"),
      await scriptFile(scratch, `echo runs; read line < ${fifo}; echo "$line"`, "running"),
      await scriptFile(scratch, 'shift 15; : new; echo "$@"', "next"),
    ];
    const cache = `${scratch.path}/cache`;
    const env = { XDG_CACHE_HOME: cache };
    assertRuns(await run(old, ["--version"], { env }));
    const oldVersion = versionIn(cache);
    const others = ["linux-image", "0".repeat(32), `${"1".repeat(31)}x`];
    for (const name of others) Deno.mkdirSync(`${cache}/hv/${name}`);
    const process = start(running, [], { env });
    const reader = process.stdout.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "runs\n");
    assert.ok(!existsAt(oldVersion), "nobody ran it");
    const runningVersion = versionIn(cache);
    assertRuns(await run(next, ["--version"], { env }));
    assert.ok(existsAt(runningVersion), "somebody runs it");
    // Packages of hv boot are in the same place.
    for (const name of others) assert.ok(existsAt(`${cache}/hv/${name}`), name);
    Deno.writeTextFileSync(fifo, "goes on\n");
    assert.equal(new TextDecoder().decode((await reader.read()).value), "goes on\n");
    reader.releaseLock();
    await process.stdout.cancel();
    await process.stderr.cancel();
    assert.equal((await process.status).code, 0);
    assertRuns(await run(old, ["--version"], { env }));
    assert.ok(!existsAt(runningVersion), "now nobody does");
  },
);

fileTest("a directory that is not the user's alone is refused in a line", async () => {
  using scratch = new Scratch();
  const file = await scriptFile(scratch);
  const cache = `${scratch.path}/cache`;
  const env = { XDG_CACHE_HOME: cache };
  assertRuns(await run(file, ["--version"], { env }));
  const version = versionIn(cache);
  for (const mode of [0o777, 0o770, 0o702]) {
    Deno.chmodSync(version, mode);
    assertRefuses(
      await run(file, ["--version"], { env }),
      /^hv: will not run what is in \S+: other users can write there; chmod go-w it, or set XDG_/,
    );
  }
  Deno.chmodSync(version, 0o700);
  // That of all versions may have been made where users share their group: it is made private.
  Deno.chmodSync(`${cache}/hv`, 0o775);
  assertRuns(await run(file, ["--version"], { env }));
  assert.equal(Deno.statSync(`${cache}/hv`).mode! & 0o777, 0o755);
  if (!isRoot) return console.log("not tried: directories of other users, as only root makes them");
  for (const path of [version, `${cache}/hv`]) {
    Deno.chownSync(path, 65534, 65534);
    assertRefuses(
      await run(file, ["--version"], { env }),
      /^hv: will not run what is in \S+: it belongs to user 65534; remove it, or set XDG_CACHE_HOME/,
    );
    Deno.chownSync(path, 0, 0);
  }
});

/** Runs with a file system of its own at `at`. */
const mounted = (at: string, options: string): readonly string[] => [
  ...["unshare", "-m", "sh", "-c", `mount -t tmpfs -o ${options} none ${at} && exec "$@"`, "sh"],
];

fileTest(
  "a cache that is full, read-only, noexec or no directory is told of in a line",
  async () => {
    using scratch = new Scratch();
    const file = await scriptFile(scratch, `# ${"x".repeat(300_000)}`);
    const cache = `${scratch.path}/cache`;
    Deno.mkdirSync(cache);
    const env = { XDG_CACHE_HOME: cache };
    const refused = async (options: string, line: RegExp) => {
      const result = await run(file, ["--version"], { env, prefix: mounted(cache, options) });
      if (/unshare|mount:/.test(result.stderr)) {
        return console.log(
          `skipped: ${result.stderr.trim()}`,
        );
      }
      assertRefuses(result, line);
    };
    await refused(
      "size=64k",
      /^hv: cannot unpack \S+ into \S+: No space left on device; 1 MiB are needed/,
    );
    await refused(
      "ro",
      /^hv: cannot make the directory \S+: Read-only file system; set XDG_CACHE_HOME/,
    );
    await refused(
      "noexec",
      /^hv: cannot run \S+: permission denied; its file system may be mounted noexec: set XDG_/,
    );
    Deno.writeTextFileSync(`${scratch.path}/plain`, "");
    for (const place of [`${scratch.path}/plain`, `${scratch.path}/plain/below`, "/proc/none"]) {
      assertRefuses(
        await run(file, ["--version"], { env: { XDG_CACHE_HOME: place } }),
        /^hv: cannot make the directory \S+: \S.*; set XDG_CACHE_HOME to a directory that will do$/m,
      );
    }
  },
);

fileTest(
  "a file that was cut off or damaged on its way says so, and never runs anything else",
  async () => {
    using scratch = new Scratch();
    const file = await scriptFile(scratch);
    const bytes = Deno.readFileSync(file);
    // Behind the launcher: manifest, files, footer.
    const from = new TextDecoder("latin1").decode(bytes).lastIndexOf(" 500 hv\n") - 80;
    const broken = `${scratch.path}/broken`;
    const tryIt = (content: Uint8Array) => {
      Deno.writeFileSync(broken, content, { mode: 0o755 });
      const env = { XDG_CACHE_HOME: `${scratch.path}/${crypto.randomUUID()}` };
      return run(broken, ["--version"], { env });
    };
    const line =
      /^hv: its own file is (cut off|damaged|cut off or damaged)( \(\S+\))?: fetch it again\n$/;
    const random = new Random(seed());
    for (let i = 0; i < 40; i++) {
      const length = from + random.below(bytes.length - from);
      assertRefuses(await tryIt(bytes.subarray(0, length)), line);
    }
    for (let i = 0; i < 80; i++) {
      const changed = bytes.slice();
      changed[from + random.below(bytes.length - from)] ^= 1 << random.below(8);
      const result = await tryIt(changed);
      // A bit of what tells of damage alone changes nothing.
      if (result.code === 0) assertRuns(result);
      else assertRefuses(result, line);
    }
  },
);

fileTest("without a compiler or its libraries it is not made, and a line names them", async () => {
  using scratch = new Scratch();
  const path = Deno.env.get("PATH")!;
  const refused = (line: RegExp) => assert.rejects(scriptFile(scratch), { message: line });
  const bin = `${scratch.path}/bin`;
  Deno.mkdirSync(bin);
  Deno.env.set("PATH", bin);
  try {
    await refused(/^cannot run cc: .*\(Debian: gcc libc6-dev libzstd-dev libmd-dev\)$/);
    const linker = "#!/bin/sh\necho 'ld: cannot find -lmd' >&2; exit 1\n";
    Deno.writeTextFileSync(`${bin}/cc`, linker, { mode: 0o755 });
    await refused(/^cc has failed: ld: cannot find -lmd; .*libzstd-dev libmd-dev\)$/);
  } finally {
    Deno.env.set("PATH", path);
  }
  assert.ok(!existsAt(`${scratch.path}/hv`));
});
