/**
 * What a machine is made of, on main's thread: guest memory and arena, the virtual machine with its
 * processors, main's attachment to the board, and the threads that run it all. It is put together once,
 * gets another virtual machine when the accelerator is changed, and knows nothing of the guest's life
 * (machine.ts).
 */

import type { Vcpu } from "../accel/accelerator.ts";
import { chooseAccelerator } from "../accel/mod.ts";
import { Arena } from "../core/state/arena.ts";
import type { IoParts } from "../io/io_parts.ts";
import type { ResolvedConfig } from "../options/config.ts";
import type { ResetKind } from "../pc/builder.ts";
import { createEventFd, EventFd } from "../sys/wait/event_fd.ts";
import {
  attachMachine,
  clockIn,
  type MachineSeed,
  type MachineThread,
  mainInterrupts,
  newArena,
} from "../threads/machine_thread.ts";
import type { Kept } from "./accelerator_switch.ts";
import { CurrentVm } from "./current_vm.ts";
import { describeBoard } from "./describe_board.ts";
import type { DirectKernel } from "./direct_kernel.ts";
import { readFirmware, readVgaRom } from "./firmware_image.ts";
import { allocateMemory, createMachine, type MachineParts, release } from "./machine_parts.ts";
import { ThreadGroup } from "./thread_group.ts";
import { WorkerSet } from "./worker_set.ts";

/** See above. */
export class Hardware implements Disposable {
  /** Main's attachment to the board. */
  readonly thread: MachineThread;
  /** The virtual machine, on whichever accelerator it is. */
  readonly vm: CurrentVm;
  readonly io: IoParts;
  readonly #config: ResolvedConfig;
  readonly #doorbell: EventFd;
  readonly #kernel: DirectKernel | undefined;
  readonly #firmwareImage: Uint8Array | undefined;
  #seed: MachineSeed;
  #vcpus: readonly Vcpu[];
  #threads: ThreadGroup;
  #accelerator: string;
  /** What only the accelerator that the guest is not on at the moment knows. */
  #kept: Kept | undefined;

  /**
   * Puts it together and lets the workers attach; `undo` gets what is to be given back should what
   * follows fail.
   *
   * @throws {UsageError} When the firmware or the processor's features cannot be.
   * @throws {HostError} When the host lacks something.
   */
  constructor(
    config: ResolvedConfig,
    { decision, board: parts, kernel, io, workers, undo }: MachineParts,
  ) {
    this.#config = config;
    this.#kernel = kernel;
    this.io = io;
    const isBuiltin = config.bios === "builtin";
    const image = isBuiltin ? undefined : readFirmware(config.bios);
    const memory = allocateMemory(config.ramBytes);
    undo.push({ [Symbol.dispose]: () => release(memory) });
    const arena = newArena();
    const clock = clockIn(new Arena(arena));
    const vm = createMachine(config, decision.accelerator, memory, clock);
    this.vm = new CurrentVm({ vm });
    undo.push(this.vm);
    const doorbell = new EventFd(createEventFd());
    this.#doorbell = doorbell;
    undo.push(doorbell);
    const board = describeBoard(config, {
      romBytes: image?.length,
      kernelEntry: kernel?.entryFromFirmware,
      drives: io.drives,
      accelerator: this.vm.handle.accelerator,
      vgaRom: isBuiltin ? undefined : readVgaRom(config.bios),
    });
    const seed: MachineSeed = this.#seed = {
      config: board,
      arena,
      ramBytes: config.ramBytes,
      vm: this.vm.handle,
      doorbell: doorbell.fd,
    };
    // They attach while main does: building writes nothing that another thread's building reads.
    workers.start(seed);
    this.thread = attachMachine(seed, { ...parts, PcInterrupts: undefined }, this.vm);
    const { PcInterrupts } = parts;
    if (PcInterrupts !== undefined) {
      this.vm.current = { vm, interrupts: mainInterrupts(PcInterrupts, seed, this.thread, vm) };
    }
    this.#threads = this.#group(seed, workers);
    this.#firmwareImage = image;
    this.thread.pc.insertMedia();
    this.#vcpus = Array.from({ length: config.cpus }, (_, index) => this.vm.openVcpu(index));
    undo.push(...this.#vcpus);
    this.#accelerator = decision.description;
  }

  /** The threads that run it. */
  get threads(): ThreadGroup {
    return this.#threads;
  }

  /** Which accelerator runs the guest, and why. */
  get accelerator(): string {
    return this.#accelerator;
  }

  /** Board and processors to their state after a reset; nothing runs. */
  reset(kind: ResetKind): void {
    this.vm.resetChips();
    this.thread.pc.reset(kind, this.#firmwareImage);
    this.resetCpus();
  }

  /** The processors to theirs. */
  resetCpus(): void {
    for (const vcpu of this.#vcpus) vcpu.reset();
  }

  /** After a reset: puts the kernel that is started directly, if any, where it begins. */
  loadKernel(): void {
    const { pc, memory } = this.thread;
    if (this.#kernel === undefined) return;
    if (this.#kernel.entryFromFirmware === undefined) pc.firmware.prepareWithoutPost();
    this.#kernel.load(memory, this.#vcpus[0]);
  }

  /** Registers of processor `index` as text; nothing runs. */
  registers(index: number): string {
    const { registers } = this.#vcpus[index];
    registers.load();
    return registers.toString();
  }

  /**
   * Moves to another accelerator while nothing runs; `threads` are new ones then, and yet to come up.
   *
   * @throws {HostError} See `switchAccelerator`.
   */
  async switchTo(accelerator: "kvm" | "soft"): Promise<void> {
    const { switchAccelerator } = await import("./accelerator_switch.ts");
    const { seed, vcpus, kept } = await switchAccelerator(accelerator, {
      seed: this.#seed,
      thread: this.thread,
      vm: this.vm,
      vcpus: this.#vcpus,
      cpu: this.#config.cpu,
      kept: this.#kept,
      stopThreads: () => this.#threads.stop({ handOver: true }),
    });
    this.#seed = seed;
    this.#vcpus = vcpus;
    this.#kept = kept;
    this.#accelerator = (await chooseAccelerator(accelerator)).description;
    this.thread.control.restart(seed.config.cpus);
    const workers = new WorkerSet(seed.config.cpus, this.#config.onWarning);
    workers.start(seed);
    this.#threads = this.#group(seed, workers);
  }

  /** Gives everything back; the threads have ended. */
  [Symbol.dispose](): void {
    for (const vcpu of this.#vcpus) vcpu[Symbol.dispose]();
    this.vm[Symbol.dispose]();
    this.io[Symbol.dispose]();
    this.#doorbell[Symbol.dispose]();
    release(this.thread.memory);
  }

  #group(seed: MachineSeed, workers: WorkerSet): ThreadGroup {
    return new ThreadGroup({ seed, thread: this.thread, vm: this.vm, io: this.io, workers });
  }
}
