/** A kernel that the user gave, started without a boot loader: planned once, loaded at every reset. */

import { addressText } from "../core/hex.ts";
import type { Vcpu } from "../accel/accelerator.ts";
import { CpuState, type SegmentState as CpuSegment } from "../accel/cpu_state.ts";
import type { BootPlan, EntryState } from "../boot/mod.ts";
import type { ResolvedConfig } from "../options/config.ts";
import type { GuestMemory } from "../core/memory/guest_memory.ts";
import { HostError } from "../errors.ts";
import { readUserFile } from "../options/user_file.ts";
import { commandLineOf } from "./virtio_arguments.ts";
import { firmwareMemoryMap, RSDP_ADDRESS } from "../pc/firmware/firmware_memory.ts";

/** Larger kernels and initrds than this are a mistake; what fits the guest is checked later. */
const MAX_FILE_BYTES = 4 * 2 ** 30;

/** See above. */
export class DirectKernel {
  /** One line for the user: what is booted and how. */
  readonly description: string;
  readonly #plan: BootPlan;

  private constructor(plan: BootPlan) {
    this.#plan = plan;
    this.description = plan.description;
  }

  /**
   * Reads the files and plans the start; undefined when no kernel is asked for.
   *
   * @throws {UsageError | HostError | BootError}
   */
  static async plan(config: ResolvedConfig): Promise<DirectKernel | undefined> {
    const { kernel, initrd, kernelEntry, ramBytes } = config;
    if (kernel === undefined) return undefined;
    // Loaded here, since most machines have none.
    const { planBoot } = await import("../boot/mod.ts");
    const plan = await planBoot({
      kernel: readFile(kernel, "kernel"),
      kernelName: kernel,
      initrd: initrd === undefined ? undefined : readFile(initrd, "initrd"),
      commandLine: commandLineOf(config),
      memoryMap: firmwareMemoryMap(ramBytes),
      rsdpAddress: RSDP_ADDRESS,
      entry: kernelEntry,
    });
    return new DirectKernel(plan);
  }

  /** State at entry when that goes through the firmware, which enters the kernel after its POST. */
  get entryFromFirmware(): EntryState | undefined {
    return this.#plan.entry.mode === "real16" ? this.#plan.entry : undefined;
  }

  /** Puts the kernel into guest memory and, unless the firmware enters it, the processor at it. */
  load(memory: GuestMemory, vcpu: Vcpu): void {
    for (const { address, bytes, memoryLength } of this.#plan.segments) {
      const target = memory.view(address, memoryLength);
      if (target === undefined) {
        throw new HostError(`Cannot load the kernel at ${addressText(address)}: no RAM there`);
      }
      target.set(bytes);
      target.fill(0, bytes.length);
    }
    if (this.entryFromFirmware === undefined) enter(vcpu, this.#plan.entry);
  }
}

function readFile(path: string, use: string): Uint8Array {
  return readUserFile(path, use, (size) => {
    if (size === 0) return "it is empty";
    return size > MAX_FILE_BYTES ? `${size} bytes are more than 4 GiB` : undefined;
  });
}

const SEGMENTS = ["cs", "ds", "es", "fs", "gs", "ss", "ldtr", "tr"] as const;

function enter(vcpu: Vcpu, entry: EntryState): void {
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  const { registers: r } = entry;
  const general = [r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi];
  for (const [i, value] of general.entries()) state.general[i] = BigInt(value);
  for (let i = general.length; i < 16; i++) state.general[i] = 0n;
  state.rip = BigInt(r.rip);
  state.rflags = BigInt(r.rflags);
  for (const name of SEGMENTS) setSegment(state[name], entry[name]);
  for (const name of ["gdtr", "idtr"] as const) {
    state[name].base = BigInt(entry[name].base);
    state[name].limit = entry[name].limit;
  }
  state.cr0 = BigInt(entry.cr0);
  state.cr3 = BigInt(entry.cr3);
  state.cr4 = BigInt(entry.cr4);
  state.efer = BigInt(entry.efer);
  vcpu.restore(state);
}

function setSegment(
  segment: CpuSegment,
  { base, limit, access, selector }: EntryState["cs"],
): void {
  segment.base = BigInt(base);
  segment.limit = limit;
  segment.access = access;
  segment.selector = selector;
}
