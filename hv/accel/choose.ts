/**
 * Which accelerator runs a machine, decided once, by main, when the machine is made.
 *
 * `auto` takes KVM where it runs kernel-mode code at hardware speed, and the software CPU elsewhere:
 * nobody is ever silently slow. Where the processor announces VT-x or AMD-V, KVM cannot but use them;
 * where it does not and `/dev/kvm` is there all the same, KVM is measured (about 10 ms, 150 at most).
 */

import { closeDescriptor } from "../sys/descriptor.ts";
import type { VmHandle } from "./accelerator.ts";
import { emulatesRealMode, openKvm } from "./kvm/host.ts";
import type { Speed } from "./speed.ts";

/** Which accelerator to use; `auto` takes the fastest that this host has. */
export type AcceleratorChoice = "auto" | "kvm" | "soft";

/** What was decided. */
export interface AcceleratorDecision {
  readonly accelerator: VmHandle["accelerator"];
  /** Its name and why it was taken, for the start-up line. */
  readonly description: string;
}

/** What KVM is worth on this host. */
export interface KvmWorth {
  /** Does it run kernel-mode code at hardware speed? */
  readonly native: boolean;
  /** `hardware speed`, `emulated, 0.8 MIPS`, or why it cannot be used, in a few words. */
  readonly description: string;
  /** In kernel mode, where it was measured. */
  readonly speed?: Speed;
}

/**
 * Decides.
 *
 * @param worth What KVM is worth; default: asked of the host. For tests.
 */
export async function chooseAccelerator(
  choice: AcceleratorChoice,
  { worth = kvmWorth }: { readonly worth?: () => Promise<KvmWorth> } = {},
): Promise<AcceleratorDecision> {
  if (choice === "soft") return { accelerator: "soft", description: "software CPU" };
  if (choice === "auto") {
    const kvm = await worth();
    if (kvm.native) return { accelerator: "kvm", description: "KVM" };
    return { accelerator: "soft", description: `software CPU, since KVM is ${kvm.description}` };
  }
  const slow = emulatesRealMode()
    ? "; it emulates kernel-mode code on this host: slow (see hv info)"
    : "";
  return { accelerator: "kvm", description: `KVM${slow}` };
}

/** What was measured: it is the host's, and a script may start machines by the hundred. */
let measured: KvmWorth | undefined;

/** What the host's KVM is worth, measured once where it must be; never throws. */
export async function kvmWorth(): Promise<KvmWorth> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return { native: false, description: "not there: it needs Linux on x86-64" };
  }
  try {
    closeDescriptor(openKvm());
    if (!emulatesRealMode()) return { native: true, description: "hardware speed" };
    const { describeProbe, probeKvm } = await import("./kvm/probe.ts");
    if (measured === undefined) {
      const probe = probeKvm();
      measured = { ...probe, description: describeProbe(probe) };
    }
    return measured;
  } catch (error) {
    return { native: false, description: `not usable: ${(error as Error).message}` };
  }
}
