/**
 * The single file in a root directory where there is nothing but /proc, /dev, /tmp, the C library and a
 * shell: no Deno, no Node, no network.
 */

import assert from "node:assert/strict";
import { KERNEL } from "../../hv/linux/packages.ts";
import { bundle, bundledMain } from "../../hv/release/bundle.ts";
import { buildSelfContained, CODE_PAGE_BYTES } from "../../hv/release/self_contained.ts";
import { VERSION } from "../../hv/version.ts";
import { sharedImage } from "../support/guest/guests.ts";
import { archive, COMMAND_LINE, kernelFile, LINUX_GUEST } from "../support/guest/linux_guest.ts";
import { type Outcome, outcome, Scratch } from "../support/hv_process.ts";
import { rom } from "../support/payload.ts";
import { Random, seed } from "../support/random.ts";
import { fileTest, isRoot, start } from "../support/single_file.ts";

/** In the empty root directory. */
const HOME = "/tmp/home";

/** An empty root directory with the program in it, and what Deno is linked with. */
class EmptyRoot implements AsyncDisposable {
  readonly #scratch = new Scratch();
  readonly path = `${this.#scratch.path}/root`;

  static async make(): Promise<EmptyRoot> {
    const root = new EmptyRoot();
    const modules = `${root.#scratch.path}/modules`;
    for (const folder of ["proc", "dev", "bin", HOME.slice(1)]) {
      Deno.mkdirSync(`${root.path}/${folder}`, { recursive: true });
    }
    await bundle(modules);
    const output = `${root.path}/hv`;
    await buildSelfContained({ folder: modules, main: bundledMain(modules), output, level: 1 });
    const shell = Deno.realPathSync("/bin/sh");
    Deno.copyFileSync(shell, `${root.path}/bin/sh`);
    for (const program of [Deno.execPath(), shell]) {
      const { stdout } = await new Deno.Command("ldd", { args: [program] }).output();
      for (const [, library] of new TextDecoder().decode(stdout).matchAll(/(\/\S+) \(/g)) {
        const to = `${root.path}${library}`;
        Deno.mkdirSync(to.replace(/[^/]*$/, ""), { recursive: true });
        Deno.copyFileSync(library, to);
      }
    }
    return root;
  }

  /** Runs it in there, with nothing in its environment but where home is. */
  run(...args: readonly string[]): Promise<Outcome> {
    return outcome(this.start(args));
  }

  /** Starts it in there, by the name of `file`, and with `env`. */
  start(
    args: readonly string[],
    { file = "/hv", env = { HOME: HOME } }: { file?: string; env?: Record<string, string> } = {},
  ): Deno.ChildProcess {
    const { path } = this;
    const script = `mount --bind /dev ${path}/dev && mount -t proc proc ${path}/proc && ` +
      `exec chroot ${path} "$@"`;
    return start(file, args, {
      prefix: ["unshare", "-m", "sh", "-c", script, "sh"],
      env: { PATH: Deno.env.get("PATH") ?? "", ...env },
      clearEnv: true,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
    this.#scratch[Symbol.dispose]();
  }
}

const FREEDOS = sharedImage("freedos-1.44.img");
const RIGHT: Outcome = { code: 0, stdout: `hv ${VERSION}\n`, stderr: "" };

/** Where the versions are below a home. */
const versions = (root: EmptyRoot, home = HOME) => `${root.path}${home}/.cache/hv`;

async function firstStarts(root: EmptyRoot): Promise<void> {
  assert.deepEqual(
    await Promise.all([root.run("--version"), root.run("--version")]),
    [RIGHT, RIGHT],
    "two first starts at once",
  );
  const names = [...Deno.readDirSync(versions(root))].map(({ name }) => name);
  assert.equal(names.length, 2, `a version and the lock: ${names}`);
}

/** A first start that is killed while it unpacks, or right after, if the host is that fast. */
async function killedStart(root: EmptyRoot): Promise<void> {
  const home = "/tmp/killed";
  Deno.mkdirSync(`${root.path}${home}`);
  const begun = () => {
    try {
      return [...Deno.readDirSync(versions(root, home))].some(({ name }) => /\w{32}/.test(name));
    } catch {
      return false;
    }
  };
  const first = root.start(["--version"], { env: { HOME: home } });
  while (!begun()) await new Promise((resolve) => setTimeout(resolve, 1));
  try {
    first.kill("SIGKILL");
  } catch {
    // It has ended.
  }
  await outcome(first);
  assert.deepEqual(await outcome(root.start(["--version"], { env: { HOME: home } })), RIGHT);
  const names = [...Deno.readDirSync(versions(root, home))].map(({ name }) => name);
  assert.ok(names.every((name) => name === ".lock" || /^\w{32}$/.test(name)), `${names}`);
  Deno.removeSync(`${root.path}${home}`, { recursive: true });
}

/** FreeDOS, with a disk that transfer threads serve. */
const dosGuest = (screenshot: string): string[] => [
  ...["run", "--floppy", "/freedos.img,readonly", "--accel", "soft", "--display", "none"],
  ...["--disk", "/tmp/a.qcow2,if=virtio,aio=threads", "--serial", "null"],
  ...["--screenshot", screenshot],
];

function assertPicture(root: EmptyRoot, path: string): void {
  const png = Deno.readFileSync(`${root.path}${path}`);
  assert.equal(new TextDecoder("latin1").decode(png.subarray(1, 4)), "PNG");
}

async function runsDos(root: EmptyRoot): Promise<void> {
  Deno.copyFileSync(FREEDOS, `${root.path}/freedos.img`);
  const { code, stderr } = await root.run(...dosGuest("/tmp/screen.png"), "--timeout", "20");
  assert.equal(code, 124, stderr);
  assert.match(stderr, /--- screen ---[^]*A:\\>/);
  assertPicture(root, "/tmp/screen.png");
}

/** A signal goes straight to it, and what it loads late is there when its file no longer is. */
async function deletedWhileRunning(root: EmptyRoot): Promise<void> {
  const file = "/tmp/other hv";
  Deno.copyFileSync(`${root.path}/hv`, `${root.path}${file}`);
  const process = root.start(dosGuest("/tmp/late.png"), { file });
  const reader = process.stderr.getReader();
  const said = new TextDecoder().decode((await reader.read()).value);
  reader.releaseLock();
  assert.match(said, /^hv: 1 processor/);
  Deno.removeSync(`${root.path}${file}`);
  process.kill("SIGINT");
  const { code, stderr } = await outcome(process);
  assert.equal(code, 130, stderr);
  assertPicture(root, "/tmp/late.png");
}

async function convertsDisks(root: EmptyRoot): Promise<void> {
  assert.equal((await root.run("disk", "create", "/tmp/a.img", "8M")).code, 0);
  const converted = await root.run("disk", "convert", "/tmp/a.img", "/tmp/a.qcow2");
  assert.deepEqual([converted.code, converted.stderr], [0, ""]);
  assert.match((await root.run("disk", "info", "/tmp/a.qcow2")).stdout, /qcow2/);
}

async function bootsLinux(root: EmptyRoot): Promise<void> {
  Deno.copyFileSync(kernelFile(KERNEL), `${root.path}/vmlinuz`);
  Deno.writeFileSync(`${root.path}/initrd`, archive(KERNEL, [], []));
  const { code, stdout, stderr } = await root.run(
    ...["run", "--kernel", "/vmlinuz", "--initrd", "/initrd", "--accel", "soft", "--append"],
    `console=ttyS0 ${COMMAND_LINE} rdinit=/bin/busybox -- poweroff -f`,
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Linux version 6\.[^]*reboot: Power down/);
}

/** All compiled code is in a log with checksums (self_contained.ts), and a damaged one does no harm. */
async function mindsNoDamagedCode(root: EmptyRoot): Promise<void> {
  const [{ name }] = [...Deno.readDirSync(versions(root))].filter(({ name }) => name !== ".lock");
  const code = `${versions(root)}/${name}/cache/v8_code_cache_v2`;
  assert.equal(Deno.statSync(code).size, CODE_PAGE_BYTES);
  const log = Deno.readFileSync(`${code}-wal`);
  assert.ok(log.length > 2 ** 20, "the compiled code is in it");
  const pages = log.length / CODE_PAGE_BYTES;
  assert.ok(pages < 800, `${pages} of 1,000 pages are full: make them larger`);
  const random = new Random(seed());
  for (let i = 0; i < 10; i++) {
    const changed = log.slice();
    changed[random.below(log.length)] ^= 1 << random.below(8);
    Deno.writeFileSync(`${code}-wal`, changed);
    assert.deepEqual(await root.run("--version"), RIGHT);
  }
}

fileTest(
  "in an empty root directory it runs FreeDOS and Linux, takes pictures and converts disks",
  async () => {
    if (!isRoot) return console.log("skipped: only root has a root directory of its own");
    await using root = await EmptyRoot.make();
    const version = await outcome(root.start(["--version"], { env: {} }));
    if (/unshare|mount:|chroot/.test(version.stderr)) {
      return console.log(`skipped: ${version.stderr.trim()}`);
    }
    assert.deepEqual(version, RIGHT, "without a home");
    Deno.removeSync(`${root.path}/tmp/hv-0`, { recursive: true });
    await firstStarts(root);
    await killedStart(root);
    {
      using image = rom((p) => p.exit(21));
      Deno.copyFileSync(image.path, `${root.path}/exit.rom`);
      const { code, stderr } = await root.run("run", "--bios", "/exit.rom", "--memory", "2M");
      assert.equal(code, 43, stderr);
    }
    assert.match((await root.run("info")).stdout, /--accel auto takes /);
    await convertsDisks(root);
    await runsDos(root);
    await deletedWhileRunning(root);
    await bootsLinux(root);
    await mindsNoDamagedCode(root);
  },
  [FREEDOS, ...LINUX_GUEST],
);
