/**
 * The single file in a root directory where there is nothing but /proc, /dev, /tmp, the C library and a
 * shell: no Deno, no Node, no network.
 */

import assert from "node:assert/strict";
import { KERNEL } from "../../hv/linux/packages.ts";
import { bundle, bundledMain } from "../../hv/release/bundle.ts";
import { buildSelfContained } from "../../hv/release/self_contained.ts";
import { VERSION } from "../../hv/version.ts";
import { sharedImage } from "../support/guest/guests.ts";
import { archive, COMMAND_LINE, kernelFile, LINUX_GUEST } from "../support/guest/linux_guest.ts";
import { type Outcome, Scratch } from "../support/hv_process.ts";
import { rom } from "../support/payload.ts";
import { fileTest, isRoot, run } from "../support/single_file.ts";

/** An empty root directory with the program in it, and what Deno is linked with. */
class EmptyRoot implements AsyncDisposable {
  readonly #scratch = new Scratch();
  readonly path = `${this.#scratch.path}/root`;

  static async make(): Promise<EmptyRoot> {
    const root = new EmptyRoot();
    const modules = `${root.#scratch.path}/modules`;
    for (const folder of ["proc", "dev", "tmp", "bin"]) {
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
    const { path } = this;
    const script = `mount --bind /dev ${path}/dev && mount -t proc proc ${path}/proc && ` +
      `exec chroot ${path} /hv "$@"`;
    const prefix = ["unshare", "-m", "sh", "-c", script];
    return run("sh", args, {
      prefix,
      env: { PATH: Deno.env.get("PATH") ?? "", HOME: "/tmp/home" },
      clearEnv: true,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
    this.#scratch[Symbol.dispose]();
  }
}

const FREEDOS = sharedImage("freedos-1.44.img");

fileTest(
  "in an empty root directory it runs FreeDOS and Linux, takes pictures and converts disks",
  async () => {
    if (!isRoot) return console.log("skipped: only root has a root directory of its own");
    await using root = await EmptyRoot.make();
    const version = await root.run("--version");
    if (/unshare|mount:|chroot/.test(version.stderr)) {
      return console.log(`skipped: ${version.stderr.trim()}`);
    }
    assert.deepEqual(version, { code: 0, stdout: `hv ${VERSION}\n`, stderr: "" });
    {
      using image = rom((p) => p.exit(21));
      Deno.copyFileSync(image.path, `${root.path}/exit.rom`);
      const { code, stderr } = await root.run("run", "--bios", "/exit.rom", "--memory", "2M");
      assert.equal(code, 43, stderr);
    }
    const info = await root.run("info");
    assert.match(info.stdout, /--accel auto takes /);

    Deno.copyFileSync(FREEDOS, `${root.path}/freedos.img`);
    const dos = await root.run(
      ...["run", "--floppy", "/freedos.img,readonly", "--accel", "soft", "--display", "none"],
      ...["--serial", "null", "--screenshot", "/tmp/screen.png", "--timeout", "20"],
    );
    assert.equal(dos.code, 124, dos.stderr);
    assert.match(dos.stderr, /--- screen ---[^]*A:\\>/);
    const png = Deno.readFileSync(`${root.path}/tmp/screen.png`);
    assert.equal(new TextDecoder("latin1").decode(png.subarray(1, 4)), "PNG");

    assert.equal((await root.run("disk", "create", "/tmp/a.img", "8M")).code, 0);
    const converted = await root.run("disk", "convert", "/tmp/a.img", "/tmp/a.qcow2");
    assert.deepEqual([converted.code, converted.stderr], [0, ""]);
    assert.match((await root.run("disk", "info", "/tmp/a.qcow2")).stdout, /qcow2/);

    Deno.copyFileSync(kernelFile(KERNEL), `${root.path}/vmlinuz`);
    Deno.writeFileSync(`${root.path}/initrd`, archive(KERNEL, [], []));
    const linux = await root.run(
      ...["run", "--kernel", "/vmlinuz", "--initrd", "/initrd", "--accel", "soft", "--append"],
      `console=ttyS0 ${COMMAND_LINE} rdinit=/bin/busybox -- poweroff -f`,
    );
    assert.equal(linux.code, 0, linux.stderr);
    assert.match(linux.stdout, /Linux version 6\.[^]*reboot: Power down/);
  },
  [FREEDOS, ...LINUX_GUEST],
);
