/**
 * A machine's life: made, started, paused, reset, ended. This is the main thread's part; it never
 * blocks, and it is the only one that asks the workers to run, park or stop.
 *
 * Start: open images, reserve memory, make the virtual machine, reset the board, and let the workers,
 * which have been loading meanwhile, attach. Pause: vCPUs park first, then the I/O worker, then guest
 * time stops; resume is the reverse. End: as pause, and the workers close.
 */

import type { AcceleratedVm, Vcpu } from "./accel/accelerator.ts";
import { createVm, describeAccelerator } from "./accel/mod.ts";
import type { BoardConfig } from "./pc/board_config.ts";
import { DirectKernel } from "./direct_kernel.ts";
import { type MachineOptions, resolveConfig, type ResolvedConfig } from "./config.ts";
import { GuestConsole } from "./console.ts";
import { EndKind, Event, Request, WorkerPhase } from "./control.ts";
import { BUILTIN_ROM_BYTES } from "./pc/firmware_memory.ts";
import type { imageFiles } from "./pc/image_files.ts";
import type { ResetKind } from "./pc/builder.ts";
import { GuestMemory } from "./core/guest_memory.ts";
import { HostError, UsageError } from "./errors.ts";
import { readFirmware, readVgaRom } from "./firmware_image.ts";
import { Keyboard } from "./keyboard.ts";
import {
  attachMachine,
  loadBuiltinFirmware,
  type MachineSeed,
  type MachineThread,
  newArena,
  type ThreadParts,
} from "./machine_thread.ts";
import { Media } from "./media.ts";
import { Screen } from "./screen.ts";
import { createEventFd, discardPages, EventFd } from "./sys/mod.ts";
import { Waiter } from "./waiter.ts";
import { WorkerSet } from "./worker_set.ts";

/** How a machine came to its end. */
export interface ExitStatus {
  /** What ended it. */
  readonly reason:
    | "power-off"
    | "debug-exit"
    | "triple-fault"
    | "failed"
    | "reset"
    | "disposed";
  /** isa-debug-exit's code; 0 otherwise. */
  readonly code: number;
  /** One line, or several for a failure, that says it to a person. */
  readonly message: string;
}

/** Longest that parking and stopping may take, ms: a disk that hangs, a host that swaps. */
const PHASE_TIMEOUT_MS = 10_000;
/** Longest that threads may take to load: Deno may check their types first, on a busy host. */
const START_TIMEOUT_MS = 60_000;
/** A panic's text may come in two parts: this many characters are looked at again. */
const PANIC_OVERLAP = 1024;
/** Room for ROM images and video memory. */
const DEVICE_BYTES = 8 << 20;

/**
 * A machine with a guest in it.
 *
 * @example
 * ```ts ignore
 * await using m = await Machine.start({ floppy: "freedos.img" });
 * await m.screen.waitFor(/A:\\>/, { timeoutMs: 60_000 });
 * await m.keyboard.type("ver\n");
 * ```
 */
export class Machine implements AsyncDisposable {
  /** COM1; see `consoles` for the others. */
  readonly console: GuestConsole;
  /** The serial ports, then the debug console at port E9h and the firmware's at 402h. */
  readonly consoles: readonly GuestConsole[];
  /** The display. */
  readonly screen: Screen;
  /** The keyboard. */
  readonly keyboard: Keyboard;
  /** Resolves when the guest has ended or the machine is disposed; never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** Which accelerator runs the guest, and why. */
  readonly accelerator: string;
  readonly #config: ResolvedConfig;
  readonly #seed: MachineSeed;
  readonly #thread: MachineThread;
  readonly #vm: AcceleratedVm;
  readonly #vcpus: readonly Vcpu[];
  readonly #workers: WorkerSet;
  readonly #media: Media;
  readonly #doorbell: EventFd;
  readonly #kernel: DirectKernel | undefined;
  readonly #firmwareImage: Uint8Array | undefined;
  readonly #waiter: Waiter;
  readonly #setExited: (status: ExitStatus) => void;
  #status: ExitStatus | undefined;
  #state: "starting" | "running" | "paused" | "ended" | "disposed" = "starting";
  #disposal: Promise<void> | undefined;
  /** Life-cycle changes happen one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** The threads have ended: nothing more comes from them. */
  #released = false;
  #panic: string | undefined;
  /** Characters of the console in which panics were looked for, and where this life begins. */
  #lookedTo = 0;
  #lookFrom = 0;
  /** Resets that the guest has asked for and that wait for their turn. */
  #guestResets = 0;

  /**
   * Makes a machine and starts it.
   *
   * @throws {UsageError} When the options cannot be.
   * @throws {HostError} When the host lacks something.
   */
  static async start(options: MachineOptions = {}): Promise<Machine> {
    const machine = await Machine.create(options);
    try {
      await machine.resume();
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Makes a machine that is paused before its first instruction. */
  static async create(options: MachineOptions = {}): Promise<Machine> {
    const config = resolveConfig(options);
    // The workers' modules load while the rest is made ready.
    const workers = new WorkerSet(config.cpus, config.onWarning);
    if (config.drives.length > 0) workers.loadIo();
    const undo: Disposable[] = [workers];
    try {
      const kernel = await DirectKernel.plan(config);
      const firmware = await loadFirmware(config);
      const machine = new Machine(config, { kernel, firmware, workers, undo });
      await machine.#attachWorkers();
      return machine;
    } catch (error) {
      for (const made of undo.reverse()) made[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(
    config: ResolvedConfig,
    { kernel, firmware, workers, undo }: MachineParts,
  ) {
    this.#config = config;
    this.#kernel = kernel;
    this.#workers = workers;
    this.#media = new Media(config.drives);
    undo.push(this.#media);
    const image = config.bios === "builtin" ? undefined : readFirmware(config.bios);
    const memory = allocateMemory(config.ramBytes);
    undo.push({ [Symbol.dispose]: () => release(memory) });
    this.#vm = createMachine(config, memory);
    undo.push(this.#vm);
    const doorbell = new EventFd(createEventFd());
    this.#doorbell = doorbell;
    undo.push(doorbell);
    let board: BoardConfig = {
      ramBytes: config.ramBytes,
      cpus: config.cpus,
      romBytes: image?.length ?? BUILTIN_ROM_BYTES,
      firmware: image === undefined ? "builtin" : "image",
      kernelEntry: kernel?.entryFromFirmware,
      drives: this.#media.drives,
      bootOrder: config.bootOrder,
      serialPorts: config.serialPorts,
      testDevices: config.testDevices,
      accelerator: this.#vm.handle.accelerator,
    };
    const fwCfgFiles = firmware.imageFiles?.(board, readVgaRom(config.bios));
    board = { ...board, fwCfgFiles };
    const seed: MachineSeed = this.#seed = {
      config: board,
      arena: newArena(),
      ramBytes: config.ramBytes,
      vm: this.#vm.handle,
      doorbell: doorbell.fd,
    };
    this.#thread = attachMachine(seed, {
      vm: this.#vm,
      BuiltinFirmware: firmware.BuiltinFirmware,
    });
    // Without drives there may never be work for the I/O worker: it is made when it is needed.
    if (this.#media.drives.length === 0) this.#thread.control.withoutIo();
    else workers.startIo(seed, this.#media.handles);
    workers.start(seed);
    this.#firmwareImage = image;
    this.#thread.pc.insertMedia();
    this.#vcpus = Array.from({ length: config.cpus }, (_, index) => this.#vm.openVcpu(index));
    undo.push(...this.#vcpus);
    this.accelerator = describeAccelerator(this.#vm.handle);

    const exited = Promise.withResolvers<ExitStatus>();
    this.exited = exited.promise;
    this.#setExited = exited.resolve;
    this.#waiter = new Waiter(() => this.#death(), () => this.#context());
    const { pc } = this.#thread;
    this.consoles = pc.streams.map((stream) => new GuestConsole(stream.name, this.#waiter, stream));
    this.console = this.consoles[0];
    this.screen = new Screen(pc.vga, this.#waiter);
    this.keyboard = new Keyboard(pc.keyboard, this.#waiter);
    this.#resetBoard("powerOn");
    this.#pump();
  }

  /** `running`, `paused`, `ended` (the guest is over; everything can still be looked at)… */
  get state(): "starting" | "running" | "paused" | "ended" | "disposed" {
    return this.#state;
  }

  /** Stops all virtual processors and guest time. */
  pause(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state !== "running") return;
      await this.#park();
      this.#state = "paused";
    });
  }

  /** Lets a paused machine run on. */
  resume(): Promise<void> {
    return this.#inTurn(() => {
      if (this.#state === "paused" || this.#state === "starting") this.#run();
      return Promise.resolve();
    });
  }

  /** As the reset button does. */
  reset(): Promise<void> {
    return this.#whileParked(() => this.#resetBoard("reset"));
  }

  /** Registers of virtual processor `index` as text; the machine pauses for it. */
  registers(index = 0): Promise<string> {
    return this.#whileParked(() => this.#registersNow(index), "");
  }

  /** What there is to see of the guest: last console lines, screen, registers. */
  describe(): Promise<string> {
    return this.#context();
  }

  /** Guest-physical memory: a copy of `length` bytes at `address`; undefined unless all is RAM. */
  readMemory(address: number, length: number): Uint8Array | undefined {
    return this.#thread.memory.view(address, length)?.slice();
  }

  /** Changes guest-physical memory; false, and nothing changed, unless all of it is RAM. */
  writeMemory(address: number, bytes: Uint8Array): boolean {
    const view = this.#thread.memory.view(address, bytes.length);
    view?.set(bytes);
    return view !== undefined;
  }

  /** Ends the machine, whatever it is doing, and frees everything. Never throws. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposal ??= this.#dispose();
  }

  async #dispose(): Promise<void> {
    await this.#inTurn(async () => {
      this.#end({ reason: "disposed", code: 0, message: "the machine was disposed of" });
      this.#state = "disposed";
      const { control } = this.#thread;
      control.request(Request.stop);
      const ended = await this.#untilPhase(WorkerPhase.ended, { again: () => this.#kickAll() });
      control.requestIo(Request.stop);
      const ioEnded = await this.#untilIoPhase(WorkerPhase.ended);
      // The I/O worker's last message may say that an image could not be flushed.
      await new Promise((resolve) => setTimeout(resolve, 0));
      this.#workers[Symbol.dispose]();
      // A thread that is still in the kernel holds on to what it uses: better a leak than a crash.
      if (!ended || !ioEnded) return;
      for (const vcpu of this.#vcpus) vcpu[Symbol.dispose]();
      this.#vm[Symbol.dispose]();
      this.#media[Symbol.dispose]();
      this.#doorbell[Symbol.dispose]();
      release(this.#thread.memory);
    });
    this.#released = true;
    this.#thread.control.notify(Event.phase);
    this.#waiter.changed();
  }

  // --- threads -------------------------------------------------------------------------------

  async #attachWorkers(): Promise<void> {
    const { control } = this.#thread;
    const failed = this.#workers.failure;
    const parked = Promise.all([
      this.#untilPhase(WorkerPhase.parked, { timeoutMs: START_TIMEOUT_MS }),
      this.#untilIoPhase(WorkerPhase.parked),
    ]);
    const result = await Promise.race([parked, failed]);
    if (result instanceof Error) throw result;
    const { kind, failure } = control.ending;
    if (kind !== EndKind.none) throw new HostError(`Cannot start the machine: ${failure}`);
    if (!result.every(Boolean)) {
      throw new HostError("Cannot start the machine: its threads did not come up in 60 s");
    }
    // From here on, only the I/O worker may still have to load.
    void failed.then(({ message }) => {
      control.setIoPhase(WorkerPhase.ended);
      this.#end({ reason: "failed", code: 0, message });
    });
  }

  /** Somebody has work for the I/O worker that the machine has done without. */
  #startIo(): void {
    const { control } = this.#thread;
    if (this.#state === "disposed" || control.ioPhase !== WorkerPhase.absent) return;
    control.setIoPhase(WorkerPhase.starting);
    this.#workers.startIo(this.#seed, this.#media.handles);
  }

  #run(): void {
    const { control, clock } = this.#thread;
    if (this.#state === "ended" || this.#state === "disposed") return;
    clock.start();
    control.requestIo(Request.run);
    if (!this.#guestWaits) control.request(Request.run);
    this.#state = "running";
  }

  /** The guest has ended or asked for a reset, and is to do no more before that is carried out. */
  get #guestWaits(): boolean {
    const { control } = this.#thread;
    return this.#status !== undefined || this.#guestResets > 0 ||
      control.ending.kind !== EndKind.none || control.isPending(Event.reset | Event.cpuReset);
  }

  async #park(): Promise<void> {
    const { control, clock } = this.#thread;
    control.request(Request.park);
    const parked = await this.#untilPhase(WorkerPhase.parked, { again: () => this.#kickAll() });
    control.requestIo(Request.park);
    const ioParked = await this.#untilIoPhase(WorkerPhase.parked);
    if (!parked || !ioParked) {
      throw new HostError("Cannot pause the machine: a thread has not come to rest in 10 s");
    }
    clock.stop();
  }

  #kickAll(): void {
    const { control } = this.#thread;
    for (let index = 0; index < this.#config.cpus; index++) {
      const threadId = control.threadId(index);
      if (threadId !== 0 && control.phase(index) === WorkerPhase.running) {
        this.#vm.kick(index, threadId);
      }
    }
  }

  #untilPhase(
    phase: number,
    { timeoutMs = PHASE_TIMEOUT_MS, again }: { timeoutMs?: number; again?: () => void } = {},
  ): Promise<boolean> {
    const { control } = this.#thread;
    const all = Array.from({ length: this.#config.cpus }, (_, i) => i);
    return this.#workers.until(
      () => all.every((i) => hasReached(control.phase(i), phase)),
      timeoutMs,
      again,
    );
  }

  #untilIoPhase(phase: number): Promise<boolean> {
    const { control } = this.#thread;
    const loading = control.ioPhase === WorkerPhase.starting;
    const timeoutMs = loading ? START_TIMEOUT_MS : PHASE_TIMEOUT_MS;
    return this.#workers.until(() => hasReached(control.ioPhase, phase), timeoutMs);
  }

  /** Carries out what workers leave for main, until there are none any more. */
  async #pump(): Promise<void> {
    const { control } = this.#thread;
    while (!this.#released) {
      await control.event();
      const events = control.takeEvents();
      if (events & Event.stream) this.#moveStreams();
      if (events & Event.phase) this.#workers.phaseChanged();
      if (events & Event.ioNeeded) this.#startIo();
      if (events & Event.cpuReset) this.#guestReset(() => this.#resetCpus());
      if (events & Event.reset) this.#guestReset(() => this.#resetBoard("reset"));
      if (events & Event.ended) this.#guestEnded();
    }
  }

  #moveStreams(): void {
    const { pc } = this.#thread;
    for (const [index, stream] of pc.streams.entries()) {
      const bytes = stream.take();
      if (bytes.length > 0) this.consoles[index].received(bytes);
    }
    this.#lookForPanic();
  }

  #guestReset(reset: () => void): void {
    if (this.#config.noReboot) {
      this.#end({ reason: "reset", code: 0, message: "the guest asked for a reset" });
      return;
    }
    this.#guestResets++;
    this.#whileParked(() => {
      this.#guestResets--;
      reset();
    }).catch((error) =>
      this.#end({ reason: "failed", code: 0, message: `Cannot reset: ${error.message}` })
    );
  }

  #guestEnded(): void {
    this.#moveStreams();
    const { kind, code, failure } = this.#thread.control.ending;
    switch (kind) {
      case EndKind.powerOff:
        return this.#end({ reason: "power-off", code: 0, message: "the guest powered off" });
      case EndKind.debugExit:
        return this.#end({
          reason: "debug-exit",
          code,
          message: `the guest ended by isa-debug-exit with ${code}`,
        });
      case EndKind.tripleFault:
        return this.#end({
          reason: "triple-fault",
          code: 0,
          message: `the guest ended by a triple fault\n${failure}`.trimEnd(),
        });
      default:
        return this.#end({ reason: "failed", code: 0, message: failure });
    }
  }

  /** The guest is over: the threads come to rest, what there is to see stays. */
  #end(status: ExitStatus): void {
    if (this.#status !== undefined) return;
    this.#status = status;
    void this.#inTurn(async () => {
      if (this.#state === "running") await this.#park().catch(() => {});
      if (this.#state !== "disposed") this.#state = "ended";
      this.#moveStreams();
      this.#setExited(status);
      this.#waiter.changed();
    });
  }

  /** Does something while nothing runs; `ended` is for a machine that is no more. */
  #whileParked<T>(action: () => T, ended?: T): Promise<T> {
    return this.#inTurn(async () => {
      if (this.#state === "disposed") return ended as T;
      const wasRunning = this.#state === "running";
      if (wasRunning) await this.#park();
      try {
        return action();
      } finally {
        if (wasRunning) this.#run();
      }
    });
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(action);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  // --- the board -----------------------------------------------------------------------------

  /** Everything to its state after a reset; nothing runs. */
  #resetBoard(kind: ResetKind): void {
    const { pc, memory } = this.#thread;
    this.#vm.resetChips();
    pc.reset(kind, this.#firmwareImage);
    this.#resetCpus();
    // What the last life has left on the console is no sign of this one's death.
    this.#moveStreams();
    this.#panic = undefined;
    this.#lookFrom = this.#lookedTo = this.console.textEnd;
    if (this.#kernel === undefined) return;
    if (this.#kernel.entryFromFirmware === undefined) pc.firmware.prepareWithoutPost();
    this.#kernel.load(memory, this.#vcpus[0]);
  }

  #resetCpus(): void {
    for (const vcpu of this.#vcpus) vcpu.reset();
  }

  // --- what waits tell -----------------------------------------------------------------------

  #death(): string | undefined {
    return this.#status?.message ?? this.#panic;
  }

  #lookForPanic(): void {
    if (this.#panic !== undefined) return;
    const news = this.console.textFrom(Math.max(this.#lookedTo - PANIC_OVERLAP, this.#lookFrom));
    this.#lookedTo = this.console.textEnd;
    for (const pattern of this.#config.panicPatterns) {
      const found = pattern.exec(news);
      if (found !== null) this.#panic = `the guest died: ${found[0].trim()}`;
    }
    if (this.#panic !== undefined) this.#waiter.changed();
  }

  #registersNow(index: number): string {
    const { registers } = this.#vcpus[index];
    registers.load();
    return registers.toString();
  }

  async #context(): Promise<string> {
    const parts = [
      ["console", this.console?.lastLines(12) ?? ""],
      ["screen", this.screen.text().trimEnd()],
      ["registers", await this.registers()],
    ];
    return parts.filter(([, text]) => text !== "")
      .map(([what, text]) => `--- ${what} ---\n${text}`).join("\n");
  }
}

/** What is made ready before a machine is put together. */
interface MachineParts {
  readonly kernel: DirectKernel | undefined;
  readonly firmware: Awaited<ReturnType<typeof loadFirmware>>;
  readonly workers: WorkerSet;
  /** What is to be given back when that fails, the last first. */
  readonly undo: Disposable[];
}

/** The code of the firmware that the machine uses, and no other. */
async function loadFirmware({ bios }: ResolvedConfig): Promise<{
  readonly BuiltinFirmware?: ThreadParts["BuiltinFirmware"];
  readonly imageFiles?: typeof imageFiles;
}> {
  if (bios !== "builtin") return await import("./pc/image_files.ts");
  return { BuiltinFirmware: await loadBuiltinFirmware("builtin") };
}

function hasReached(phase: number, wanted: number): boolean {
  return phase === wanted || phase === WorkerPhase.ended || phase === WorkerPhase.absent;
}

/** Gives guest memory back at once: the garbage collector may come much later, if at all. */
function release({ memory }: GuestMemory): void {
  discardPages(new Uint8Array(memory.buffer));
}

function createMachine({ cpus, cpu }: ResolvedConfig, { memory }: GuestMemory): AcceleratedVm {
  try {
    return createVm({ accelerator: "kvm", memory, cpus, cpu });
  } catch (error) {
    const { name, message } = error as Error;
    if (name === "CpuError") throw new UsageError(message, { cause: error });
    throw new HostError(message, { cause: error });
  }
}

function allocateMemory(ramBytes: number): GuestMemory {
  try {
    return GuestMemory.allocate(ramBytes, DEVICE_BYTES);
  } catch (cause) {
    throw new HostError(
      `Cannot reserve ${ramBytes / 2 ** 20} MiB of guest memory: ${(cause as Error).message}; ` +
        "give the guest less with --memory",
      { cause },
    );
  }
}
