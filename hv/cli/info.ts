/** `hv info`: what this host offers, how fast each accelerator is, what is missing and how to mend it. */

import { chooseAccelerator, kvmWorth } from "../accel/choose.ts";
import { measureKvm } from "../accel/kvm/probe.ts";
import { checkCapability, KVM_PATH, openKvm } from "../accel/kvm/host.ts";
import { showSpeed, type Speed } from "../accel/speed.ts";
import { probeSoft } from "../accel/soft/probe.ts";
import { closeDescriptor } from "../sys/descriptor.ts";
import { VERSION } from "../version.ts";
import { ExitCode } from "./words/option_table.ts";
import { print } from "./say.ts";

/** Prints it; the exit code is 0 when a machine can run here. */
export async function info(): Promise<number> {
  row(`hv ${VERSION}, Deno ${Deno.version.deno}, ${Deno.build.target}`);
  row("host", hostLine());
  await kvm();
  const runs = soft();
  const { description } = await chooseAccelerator("auto");
  row("auto", `--accel auto takes the ${description}`.replace("the KVM", "KVM"));
  return runs ? ExitCode.ok : ExitCode.hostError;
}

/** A line; further lines of the same matter have no name. */
function row(name: string, text?: string): void {
  print(text === undefined ? name : `${name.padEnd(11)}${text}`);
}

function hostLine(): string {
  const { total, available } = Deno.systemMemoryInfo();
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  return `${navigator.hardwareConcurrency} processors, ` +
    `${gib(available)} of ${gib(total)} GiB of memory free`;
}

/** E.g. `1.2 (0.9 to 1.4) million instructions a second`: the median of short runs, and their range. */
const inWords = (speed: Speed): string => `${showSpeed(speed)} million instructions a second`;

async function kvm(): Promise<void> {
  try {
    const fd = openKvm();
    const most = checkCapability(fd, "KVM_CAP_MAX_VCPUS");
    const advised = checkCapability(fd, "KVM_CAP_NR_VCPUS");
    closeDescriptor(fd);
    // Where the choice of an accelerator has measured it, that counts.
    const { native, description, speed } = await kvmWorth();
    row("KVM", `${KVM_PATH}: ${description}; up to ${most} processors, ${advised} advised`);
    row("", `kernel mode: ${inWords(speed ?? measureKvm("kernel"))}`);
    row("", `user mode: ${inWords(measureKvm("user"))}`);
    if (native) return;
    row(
      "",
      "This host emulates a guest's kernel-mode code. On a real machine, or in a virtual one",
    );
    row("", "with nested virtualization, KVM runs at hardware speed.");
  } catch (error) {
    row("KVM", `not usable: ${(error as Error).message}`);
  }
}

function soft(): boolean {
  try {
    row("software", "an interpreter, and a translator of hot code to WebAssembly");
    row("", `any mode: ${inWords(probeSoft())}`);
    row("", "All speeds are those of a loop of two instructions; real work is slower.");
    return true;
  } catch (error) {
    row("software", `not usable: ${(error as Error).message}`);
    return false;
  }
}
