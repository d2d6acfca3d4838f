/** `hv info`: what this host offers, how fast it is, what is missing and how to mend it. */

import { describeProbe, probeKvm } from "../accel/kvm/probe.ts";
import { checkCapability, KVM_PATH, openKvm } from "../accel/kvm/host.ts";
import { closeDescriptor } from "../sys/mod.ts";
import { VERSION } from "../version.ts";
import { ExitCode } from "./option_table.ts";

/** Prints it; the exit code is 0 when a machine can run here. */
export function info(): number {
  const { cpus, memory } = host();
  console.log(`hv ${VERSION}, Deno ${Deno.version.deno}, ${Deno.build.target}`);
  console.log(`host       ${cpus} processors, ${memory}`);
  return kvm() ? ExitCode.ok : ExitCode.hostError;
}

function host(): { cpus: number; memory: string } {
  const { total, available } = Deno.systemMemoryInfo();
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  return {
    cpus: navigator.hardwareConcurrency,
    memory: `${gib(available)} of ${gib(total)} GiB of memory free`,
  };
}

function kvm(): boolean {
  try {
    const fd = openKvm();
    const most = checkCapability(fd, "KVM_CAP_MAX_VCPUS");
    const advised = checkCapability(fd, "KVM_CAP_NR_VCPUS");
    closeDescriptor(fd);
    const probe = probeKvm();
    console.log(`KVM        ${KVM_PATH}: ${describeProbe(probe)}`);
    console.log(`           up to ${most} processors, ${advised} advised`);
    if (!probe.native) {
      console.log(
        "           This host emulates a guest's kernel-mode code: 16-bit systems and small payloads\n" +
          "           run, stock kernels do not get far. On a real machine, or in a virtual one with\n" +
          "           nested virtualization, KVM runs at hardware speed.",
      );
    }
    console.log("software   --accel soft, experimental: one processor, an interpreter");
    console.log("--accel auto takes KVM");
    return true;
  } catch (error) {
    console.log(`KVM        not usable: ${(error as Error).message}`);
    console.log("software   --accel soft, experimental: one processor, an interpreter");
    console.log("--accel auto has nothing to take: mend KVM, or try --accel soft");
    return false;
  }
}
