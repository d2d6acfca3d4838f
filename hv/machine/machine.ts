/**
 * A machine's life: made, started, paused, reset, ended. This is the main thread's part; it never
 * blocks, and it is the only one that asks the workers to run, park or stop.
 *
 * Start: open images, reserve memory, make the virtual machine, reset the board, and let the workers,
 * which have been loading meanwhile, attach. Pause: vCPUs park first, then the I/O worker, then guest
 * time stops; resume is the reverse. End: as pause, and the workers close.
 */

import { type Attachment, Attachments, type DetachOptions } from "./attachments.ts";
import type { FilledInstructions } from "../accel/accelerator.ts";
import { chooseAccelerator } from "../accel/mod.ts";
import { DirectKernel } from "./direct_kernel.ts";
import { type MachineOptions, resolveConfig, type ResolvedConfig } from "../options/config.ts";
import type { AttachOptions } from "./attached_end.ts";
import type { GuestConsole } from "../handles/console.ts";
import { Consoles } from "../handles/consoles.ts";
import { Balloon } from "../handles/balloon.ts";
import { EndKind, Event } from "../core/control.ts";
import type { ResetKind } from "../pc/builder.ts";
import { UsageError } from "../errors.ts";
import { type ExitStatus, exitStatus } from "./exit_status.ts";
import { describeFilled } from "./filled_text.ts";
import { AIO_KINDS, type AioKind } from "../../devices/disk/engine/aio_kind.ts";
import { IoParts, needsIo } from "../io/io_parts.ts";
import type { GuestPort } from "../handles/guest_port.ts";
import { Keyboard } from "../handles/keyboard.ts";
import { Hardware } from "./hardware.ts";
import { loadBuiltinFirmware, loadParts, type MachineThread } from "../threads/machine_thread.ts";
import type { MachineParts } from "./machine_parts.ts";
import type { PortForward } from "../options/network_options.ts";
import { PanicWatch } from "./panic_watch.ts";
import { Screen } from "../handles/screen.ts";
import { NetworkCable } from "../handles/network_cable.ts";
import type { ThreadGroup } from "./thread_group.ts";
import { Waiter } from "../handles/waiter.ts";
import { WorkerSet } from "./worker_set.ts";

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
  /**
   * The virtio console if there is one, else COM1; the debug console where there is neither. See
   * `consoles` for the others.
   */
  readonly console: GuestConsole;
  /** Serial ports, the debug console at port E9h, the firmware's at 402h, virtio console, ports. */
  readonly consoles: readonly GuestConsole[];
  /** The memory balloon, where the machine has one. */
  readonly balloon: Balloon | undefined;
  /** Of the network cards that the machine was made with, in their order; see `Attachment.cable`. */
  readonly cables: readonly NetworkCable[];
  /** The display. */
  readonly screen: Screen;
  /** The keyboard. */
  readonly keyboard: Keyboard;
  /** Resolves when the guest has ended or the machine is disposed; never rejects. */
  readonly exited: Promise<ExitStatus>;
  readonly #config: ResolvedConfig;
  readonly #hardware: Hardware;
  readonly #thread: MachineThread;
  readonly #attachments: Attachments;
  readonly #waiter: Waiter;
  readonly #consoles: Consoles;
  readonly #panic: PanicWatch;
  readonly #setExited: (status: ExitStatus) => void;
  #status: ExitStatus | undefined;
  #state: "starting" | "running" | "paused" | "ended" | "disposed" = "starting";
  #disposal: Promise<void> | undefined;
  /** Life-cycle changes happen one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** The threads have ended: nothing more comes from them. */
  #released = false;
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
    if (needsIo(config)) workers.loadIo();
    const undo: Disposable[] = [workers];
    try {
      const kernel = await DirectKernel.plan(config);
      const decision = await chooseAccelerator(config.accelerator);
      const { accelerator } = decision;
      const board = {
        ...await loadParts({ ...config, accelerator }),
        ...config.bios === "builtin" ? await loadBuiltinFirmware() : {},
      };
      const io = await IoParts.open(config);
      undo.push(io);
      const machine = new Machine(config, { decision, board, kernel, io, workers, undo });
      await machine.#threads.up(config.onStarting);
      machine.#watchThreads();
      return machine;
    } catch (error) {
      for (const made of undo.reverse()) made[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(config: ResolvedConfig, parts: MachineParts) {
    this.#config = config;
    this.#hardware = new Hardware(config, parts);
    this.#thread = this.#hardware.thread;
    const exited = Promise.withResolvers<ExitStatus>();
    this.exited = exited.promise;
    this.#setExited = exited.resolve;
    this.#waiter = new Waiter(() => this.#death(), () => this.#context());
    const { pc } = this.#thread;
    this.#consoles = new Consoles(pc, this.#waiter);
    this.consoles = this.#consoles.all;
    this.console = this.#consoles.main;
    if (pc.virtio?.balloon) {
      this.balloon = new Balloon(pc.virtio.balloon, config.ramBytes, this.#waiter);
      this.balloon.target = config.balloonTarget;
    }
    this.cables = pc.networks.map((card) => new NetworkCable(() => card));
    this.#attachments = new Attachments({
      hotplug: pc.hotplug,
      board: { tags: config.shares.map(({ tag }) => tag), hasVsock: config.vsock !== undefined },
      whileParked: (change) => this.#whileParked(change),
      ioUp: () =>
        this.#inTurn(async () => {
          if (this.#state !== "disposed") await this.#threads.ioUp();
        }),
      ioFollows: () => this.#threads.ioVisit(() => pc.hotplug.ioHasFollowed),
      guestIsOver: () => this.#status !== undefined,
      guestEnds: this.exited,
    });
    this.#panic = new PanicWatch(this.console, config.panicPatterns);
    this.screen = new Screen(pc.vga, this.#waiter);
    this.keyboard = new Keyboard(pc.keyboard, this.#waiter);
    this.attended = config.attended;
    this.#resetBoard("powerOn");
    this.#pump();
  }

  /** The host's ports that lead to the guest, with their numbers where the kernel has chosen them. */
  get forwards(): readonly PortForward[] {
    return this.#hardware.io.forwards;
  }

  /** Which accelerator runs the guest, and why. */
  get accelerator(): string {
    return this.#hardware.accelerator;
  }

  /** How virtio disks transfer; nothing where there are none. */
  get diskEngines(): readonly AioKind[] {
    return AIO_KINDS.filter((kind) => this.#hardware.io.diskEngines.includes(kind));
  }

  /**
   * What the software CPU has executed because KVM could not; undefined where there was nothing. On
   * most hosts there never is: see hv/accel/kvm/README.md.
   */
  get filledInstructions(): FilledInstructions | undefined {
    const filled = this.#hardware.vm.filledInstructions();
    return filled === undefined || filled.count === 0 ? undefined : filled;
  }

  /** `running`, `paused`, `ended` (the guest is over; everything can still be looked at)… */
  get state(): "starting" | "running" | "paused" | "ended" | "disposed" {
    return this.#state;
  }

  /** Is somebody there who could type what else to boot? See `MachineOptions.attended`. */
  get attended(): boolean {
    return this.#thread.control.boot.attended;
  }

  set attended(value: boolean) {
    this.#thread.control.boot.attended = value;
  }

  /**
   * The virtio port of that name; `"hvc0"`: the virtio console.
   *
   * @throws {UsageError} When there is none: see the option `ports`.
   */
  port(name: string): GuestPort {
    return this.#consoles.port(name);
  }

  /** Stops all virtual processors and guest time. */
  pause(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state !== "running") return;
      await this.#threads.park();
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

  /**
   * Moves the guest to another accelerator and lets it go on there, in the middle of whatever it does:
   * memory, processors, interrupt controllers, timers and devices go with it. Guest time stands still
   * meanwhile (about half a second).
   *
   * CPUID and the rate of the time-stamp counter change, as on another computer: for a guest that has
   * looked at them before, that may be a surprise. What the software CPU has not is refused: state in
   * XCR0 beyond x87 and SSE (AVX), and bits of CR4 that it does not know.
   *
   * @throws {UsageError} When the guest has ended.
   * @throws {HostError} When the other accelerator cannot be used, or cannot take the guest's state. The
   * guest is where it was and goes on there, unless a thread could not be ended.
   */
  switchAccelerator(accelerator: "kvm" | "soft"): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === "ended" || this.#state === "disposed") {
        throw new UsageError(`Cannot go on on ${accelerator}: the guest has ended`);
      }
      if (accelerator === this.#hardware.vm.handle.accelerator) return;
      const wasRunning = this.#state === "running";
      if (wasRunning) await this.#threads.park();
      try {
        await this.#switchTo(accelerator);
      } finally {
        if (wasRunning) this.#run();
      }
    });
  }

  /**
   * Puts a device into the machine while it runs; the guest is told by ACPI, and a Linux takes it into
   * use by itself. All virtual processors stand still meanwhile, for some milliseconds. A reset leaves
   * it in.
   *
   * @throws {UsageError} When the guest has ended or all eight slots for such devices are taken.
   * @throws {HostError} When a thread of the machine fails to follow; a `DiskError` when the image
   * cannot be used.
   */
  attach(options: AttachOptions): Promise<Attachment> {
    return this.#attachments.attach(options);
  }

  /**
   * Takes a device out that `attach` has put in: asks the guest by ACPI to let it go and waits for that,
   * or pulls it (`force`). All that was written is on the image when this resolves, and the image is
   * free for others. What has left already is no error; a reset takes out what the guest was asked for.
   *
   * @throws {HostError} When the guest has not let it go in time; then it stays.
   */
  detach(attachment: Attachment, options: DetachOptions = {}): Promise<void> {
    return this.#attachments.detach(attachment, options);
  }

  /** Registers of virtual processor `index` as text; the machine pauses for it. */
  registers(index = 0): Promise<string> {
    return this.#whileParked(() => this.#hardware.registers(index), "");
  }

  /**
   * What there is to see of the guest: last console lines, screen, registers, and what the software CPU
   * has done in KVM's place, where it has.
   */
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
      // A thread that is still in the kernel holds on to what it uses: better a leak than a crash.
      if (!await this.#threads.stop()) return;
      this.#attachments[Symbol.dispose]();
      this.#hardware[Symbol.dispose]();
    });
    this.#released = true;
    this.#thread.control.notify(Event.phase);
    this.#waiter.changed();
  }

  async #switchTo(accelerator: "kvm" | "soft"): Promise<void> {
    await this.#hardware.switchTo(accelerator);
    try {
      await this.#threads.up();
    } catch (error) {
      this.#end({ reason: "failed", code: 0, message: (error as Error).message });
      throw error;
    }
    this.#watchThreads();
    // Timers may have been armed before there was somebody to fire them.
    this.#thread.control.ringIo();
  }

  get #threads(): ThreadGroup {
    return this.#hardware.threads;
  }

  #watchThreads(): void {
    this.#threads.onFailure((message) => this.#end({ reason: "failed", code: 0, message }));
  }

  // --- the guest's life ----------------------------------------------------------------------

  #run(): void {
    if (this.#state === "ended" || this.#state === "disposed") return;
    this.#threads.run({ cpusWait: this.#guestWaits });
    this.#state = "running";
  }

  /** The guest has ended or asked for a reset, and is to do no more before that is carried out. */
  get #guestWaits(): boolean {
    const { control, pc } = this.#thread;
    return this.#status !== undefined || this.#guestResets > 0 ||
      control.ending.kind !== EndKind.none || control.isPending(Event.reset | Event.cpuReset) ||
      pc.hotplug.hasEjected;
  }

  /** Carries out what workers leave for main, until there are none any more. */
  async #pump(): Promise<void> {
    const { control } = this.#thread;
    while (!this.#released) {
      await control.event();
      const events = control.takeEvents();
      if (events & Event.stream) this.#moveStreams();
      if (events & Event.phase) this.#threads.phaseChanged();
      if (events & Event.ioNeeded && this.#state !== "disposed") this.#threads.startIo();
      if (events & Event.cpuReset) this.#guestReset(() => this.#hardware.resetCpus());
      if (events & Event.reset) this.#guestReset(() => this.#resetBoard("reset"));
      if (events & Event.ejected) this.#guestEjected();
      if (events & Event.ended) this.#guestEnded();
    }
  }

  #moveStreams(): void {
    this.#consoles.move();
    if (this.#panic.look()) this.#waiter.changed();
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

  #guestEjected(): void {
    this.#attachments.takeEjected().catch((error) =>
      this.#end({
        reason: "failed",
        code: 0,
        message: `Cannot take a device out: ${error.message}`,
      })
    );
  }

  #guestEnded(): void {
    this.#consoles.moveLast();
    this.#end(exitStatus(this.#thread.control.ending));
  }

  /** The guest is over: the threads come to rest, what there is to see stays. */
  #end(status: ExitStatus): void {
    if (this.#status !== undefined) return;
    this.#status = status;
    void this.#inTurn(async () => {
      if (this.#state === "running") await this.#threads.park().catch(() => {});
      if (this.#state !== "disposed") this.#state = "ended";
      this.#consoles.moveLast();
      this.#setExited(status);
      this.#waiter.changed();
    });
  }

  /** Does something while nothing runs; `ended` is for a machine that is no more. */
  #whileParked<T>(action: () => T | Promise<T>, ended?: T): Promise<T> {
    return this.#inTurn(async () => {
      if (this.#state === "disposed") return ended as T;
      const wasRunning = this.#state === "running";
      if (wasRunning) await this.#threads.park();
      try {
        return await action();
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
    this.#hardware.reset(kind);
    this.#moveStreams();
    this.#panic.reset();
    this.#hardware.loadKernel();
  }

  // --- what waits tell -----------------------------------------------------------------------

  #death(): string | undefined {
    return this.#status?.message ?? this.#panic.found;
  }

  async #context(): Promise<string> {
    const filled = this.filledInstructions;
    const parts = [
      ["accelerator", filled === undefined ? "" : describeFilled(filled)],
      ["console", this.console?.lastLines(12) ?? ""],
      ["screen", this.screen.text().trimEnd()],
      ["registers", await this.registers()],
    ];
    return parts.filter(([, text]) => text !== "")
      .map(([what, text]) => `--- ${what} ---\n${text}`).join("\n");
  }
}
