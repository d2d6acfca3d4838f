/**
 * Debian's kernel in a test: with the modules and programs that it needs, and a shell in which commands
 * are run to their end.
 */

import assert from "node:assert/strict";
import { cpioArchive, type CpioEntry } from "../../../hv/boot/cpio.ts";
import { initramfs } from "../../../hv/linux/initramfs.ts";
import { selectModules } from "../../../hv/linux/kernel_modules.ts";
import { KERNEL, type Package, packageFolder } from "../../../hv/linux/packages.ts";
import { Machine, type MachineOptions } from "../../../hv/mod.ts";
import { debianKernel, findFile } from "./guest_cache.ts";
import { fetched, PATIENCE_MS } from "./guests.ts";

/** Its kernel. */
export const kernelFile = (kernel: Package) =>
  debianKernel(kernel) ?? `${packageFolder(kernel)}/boot/vmlinuz`;
const BUSYBOX_FILE = fetched("busybox-static/bin/busybox");
/** What a test with such a guest needs, and one with another of Debian's kernels. */
export const LINUX_GUEST: readonly string[] = linuxGuest(KERNEL);
export function linuxGuest(kernel: Package): string[] {
  return [kernelFile(kernel), BUSYBOX_FILE];
}

/** For a boot and for a command, ms: ends a guest that hangs, on the slowest and busiest host. */
export const LIMIT_MS = 5 * PATIENCE_MS;
/**
 * What the kernel is told. Its tests of its own ciphers take as long as all the rest of its start;
 * linux_soft_test.ts has them.
 */
export const COMMAND_LINE =
  "mitigations=off random.trust_cpu=on no_timer_check cryptomgr.notests rcupdate.rcu_expedited=1";
/** Its shell's. */
export const PROMPT = "guest# ";
const BEGIN = "<begin>\n";

/** What is in the guest beside busybox. */
export interface LinuxGuestParts {
  /** Default: Debian's for virtual machines. */
  readonly kernelPackage?: Package;
  /** Kernel modules, loaded in this order with what they need; parameters may follow a name. */
  readonly modules?: readonly string[];
  /** Programs of the host, by path, which come with their libraries. */
  readonly programs?: readonly string[];
}

/** A guest at its shell. */
export class LinuxGuest implements AsyncDisposable {
  readonly machine: Machine;

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  /** Starts one, with `append` behind what its kernel is told, and waits for its shell. */
  static async start(
    { kernelPackage = KERNEL, modules = [], programs = [], append = "", ...options }:
      & LinuxGuestParts
      & MachineOptions,
  ): Promise<LinuxGuest> {
    const console = options.console === "virtio" ? "hvc0" : "ttyS0";
    const initrd = await Deno.makeTempFile({ prefix: "hv-test-initrd-" });
    try {
      await Deno.writeFile(initrd, archive(kernelPackage, modules, programs));
      const machine = await Machine.start({
        kernel: kernelFile(kernelPackage),
        initrd,
        append: `console=${console} ${COMMAND_LINE} ${append}`,
        memory: "256M",
        accelerator: "soft",
        ...options,
      });
      try {
        const guest = new LinuxGuest(machine);
        await guest.isUp();
        return guest;
      } catch (error) {
        await machine[Symbol.asyncDispose]();
        throw error;
      }
    } finally {
      await Deno.remove(initrd);
    }
  }

  /** Waits for its shell, after a start. */
  async isUp(): Promise<void> {
    await this.machine.console.expect(PROMPT, { timeoutMs: LIMIT_MS });
  }

  /** Runs a command; what it printed. A status other than 0 fails the test. */
  async run(command: string): Promise<string> {
    const { console } = this.machine;
    // The terminal shows what is typed, in which the marks do not occur.
    console.send(`echo "<""begin>"; ${command}; echo "<$?>"\n`);
    const { text } = await console.expect(/<\d+>\r?\n/, { timeoutMs: LIMIT_MS });
    await console.expect(PROMPT, { timeoutMs: LIMIT_MS });
    const plain = text.replaceAll("\r", "");
    const output = plain.slice(plain.indexOf(BEGIN) + BEGIN.length);
    const status = /<(\d+)>\n$/.exec(output);
    assert.equal(status?.[1], "0", `${command}: ${output}`);
    return output.slice(0, status.index).trimEnd();
  }

  /** Has the guest power off. */
  async powerOff(): Promise<void> {
    this.machine.console.send("poweroff -f\n");
    assert.equal((await this.machine.exited).reason, "power-off");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}

/** The initial RAM file system of such a guest. */
export function archive(
  kernel: Package,
  modules: readonly string[],
  programs: readonly string[],
): Uint8Array {
  const folder = `${packageFolder(kernel)}/lib/modules`;
  const release = findFile(folder, "")!.slice(folder.length + 1);
  const system = initramfs({
    busybox: Deno.readFileSync(BUSYBOX_FILE),
    release,
    modules: selectModules(`${folder}/${release}`, modules.map((one) => one.split(" ")[0])),
    init: `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin HOME=/root ENV=/etc/profile TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
${modules.map((name) => `modprobe ${name}`).join("\n")}
dmesg -n 1
cd
setsid cttyhack sh
poweroff -f
`,
    profile: `export PS1='${PROMPT}'\n`,
  });
  const more = cpioArchive(hostPrograms(programs));
  const both = new Uint8Array(system.length + more.length);
  both.set(system);
  both.set(more, system.length);
  return both;
}

/** Programs with the shared libraries that they need, at their places. */
function hostPrograms(paths: readonly string[]): CpioEntry[] {
  const files = new Set(paths);
  for (const path of paths) {
    const { stdout } = new Deno.Command("ldd", { args: [path] }).outputSync();
    const text = new TextDecoder().decode(stdout);
    for (const [, library] of text.matchAll(/(?:=> |^\s)(\/\S+)/gm)) files.add(library);
  }
  const folders = new Set<string>();
  for (const path of files) {
    for (let at = path.indexOf("/", 1); at > 0; at = path.indexOf("/", at + 1)) {
      folders.add(path.slice(1, at));
    }
  }
  return [
    ...[...folders].sort().map((name): CpioEntry => ({ name, kind: "folder" })),
    ...[...files].map((path): CpioEntry => ({
      name: path.slice(1),
      kind: "file",
      data: Deno.readFileSync(path),
    })),
  ];
}
