/**
 * The board: an i440FX/PIIX3 PC. Every port, memory range, interrupt line and device of the machine is
 * in this file and in hv/pc/, and nothing else is.
 *
 * Every thread builds it over the same state; only main calls `reset`.
 */

import { Vga } from "../../devices/vga/vga.ts";
import { VGA_WINDOW_BASE } from "../../devices/vga/memory.ts";
import { VgaState } from "../../devices/vga/registers.ts";
import type { KeyCode } from "../../devices/input/keymap.ts";
import type { Vcpu } from "../accel/accelerator.ts";
import type { BoardConfig } from "./board_config.ts";
import type { CharacterPort } from "./character_port.ts";
import { EndKind, Event } from "../core/control.ts";
import type { IoBus } from "../core/bus/io_bus.ts";
import type { Lock } from "../core/state/lock.ts";
import type { NetworkCard } from "../core/net/network.ts";
import type { Timers } from "../core/time/timer.ts";
import { PcBuilder, type PcContext, type ResetKind } from "./builder.ts";
import { type FirmwareParts, PcFirmware } from "./firmware/firmware.ts";
import { PcHotplug } from "./hotplug.ts";
import { addInterrupts, connectProcessor } from "./interrupts.ts";
import { PcLegacy } from "./legacy.ts";
import { PcMemory } from "./memory.ts";
import type { addNetworks } from "./networks.ts";
import { PcPci } from "./pci.ts";
import { type PcDrive, PcStorage } from "./storage.ts";
import type { PcVirtio } from "./virtio/virtio.ts";

const VGA_WINDOW_BYTES = 0x2_0000;
/** CMOS shutdown codes with which a program gets the processor back after its reset (IBM AT). */
const RESUME_CODES = [0x05, 0x09, 0x0a];

/** What is loaded for boards that have it. */
interface LoadedParts extends FirmwareParts {
  readonly PcVirtio?: typeof PcVirtio;
  readonly addNetworks?: typeof addNetworks;
}

/** See above. */
export class Pc {
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly timers: Timers;
  readonly drives: readonly PcDrive[];
  /** COM1 and on, then "debugcon" (port E9h) and "firmware log" (402h), then virtio consoles. */
  readonly streams: readonly CharacterPort[];
  readonly vga: Vga;
  /** The keyboard as the host types on it. */
  readonly keyboard: {
    readonly lock: Lock;
    key(code: KeyCode, down: boolean): boolean;
    readonly idle: boolean;
  };
  readonly firmware: PcFirmware;
  /** The network cards, in the order of the configuration. */
  readonly networks: readonly NetworkCard[];
  /** Devices that come and go. */
  readonly hotplug: PcHotplug;
  #virtio: PcVirtio | undefined;
  readonly #builder: PcBuilder;
  readonly #memory: PcMemory;
  readonly #storage: PcStorage;
  readonly #legacy: PcLegacy;

  constructor(config: BoardConfig, context: PcContext & LoadedParts) {
    const b = this.#builder = new PcBuilder(config, context);
    const { control } = context;
    const reset = () => {
      control.notify(Event.reset);
      control.parkAll();
    };
    const cpuReset = () => {
      control.notify(this.#resumes ? Event.cpuReset : Event.reset);
      control.parkAll();
    };
    const powerOff = () => control.end(EndKind.powerOff, 0);

    if (b.interrupts !== undefined) addInterrupts(b, b.interrupts);
    this.#memory = new PcMemory(b);
    this.#legacy = new PcLegacy(b, { cpuReset });
    this.vga = this.#addVga();
    this.#storage = new PcStorage(b);
    const pci = new PcPci(b, this.#memory, this.#storage, { reset, cpuReset, powerOff });
    this.#memory.connect(() => pci.hostBridge.shadow, this.vga);
    this.#virtio = context.PcVirtio && new context.PcVirtio(b, pci, this.#storage);
    this.networks = context.addNetworks?.(b, pci, this.#virtio) ?? [];
    this.firmware = new PcFirmware(b, this.#memory, this.#storage, context);
    this.hotplug = new PcHotplug(b, {
      pci,
      storage: this.#storage,
      loadVirtio: async () => {
        const { PcVirtio } = await import("./virtio/virtio.ts");
        return this.#virtio ??= new PcVirtio(b, pci, this.#storage);
      },
    });

    this.ports = b.ports;
    this.mmio = b.mmio;
    this.timers = b.timers;
    this.drives = this.#storage.drives;
    this.streams = [
      ...this.#legacy.streams,
      ...this.virtio?.consoles.map(({ character }) => character) ?? [],
    ];
    const { keyboard, keyboardLock: lock } = this.#legacy;
    this.keyboard = {
      lock,
      key: (code, down) => keyboard.key(code, down),
      get idle() {
        return keyboard.idle;
      },
    };
  }

  /** Virtio devices, where there are any. */
  get virtio(): PcVirtio | undefined {
    return this.#virtio;
  }

  /** Tells the drives what is in them; once, before the first reset. */
  insertMedia(): void {
    this.#storage.insertMedia();
  }

  /**
   * Initial state of everything on the board, with the firmware in its ROM.
   *
   * @param image The firmware; default: our own.
   */
  reset(kind: ResetKind, image?: Uint8Array): void {
    this.#builder.resetDevices();
    this.hotplug.reset();
    this.#legacy.resetClock(kind);
    for (const stream of this.streams) stream.clear();
    this.firmware.reset(image);
    this.#memory.mapAll();
  }

  /** Maps all memory and doorbells as the board's registers say, for a new virtual machine. */
  mapMemory(): void {
    this.#memory.mapAll();
    this.#virtio?.connect();
  }

  /** Connects a virtual processor's thread: the built-in firmware serves it there. */
  attachVcpu(vcpu: Vcpu): void {
    const { interrupts } = this.#builder;
    if (interrupts !== undefined) connectProcessor(this.#builder, interrupts, vcpu);
    this.firmware.attachVcpu(vcpu);
  }

  /**
   * The processor has come to a triple fault, which resets it: some programs leave protected mode so.
   * Without such a program, it is the guest's end.
   */
  tripleFault(vcpu: Vcpu): void {
    const { control } = this.#builder;
    if (this.#resumes) {
      control.notify(Event.cpuReset);
      control.parkAll();
      return;
    }
    vcpu.registers.load();
    control.end(EndKind.tripleFault, 0, vcpu.registers.toString());
  }

  get #resumes(): boolean {
    return RESUME_CODES.includes(this.#legacy.shutdownCode);
  }

  #addVga(): Vga {
    const b = this.#builder;
    const lock = b.lock("vga");
    const vga = b.device(
      new Vga({
        state: b.state(VgaState),
        memory: this.#memory.video.bytes,
        clock: b.clock,
        mapWindow: (window) => this.#memory.windowChanged(window),
      }),
    );
    for (const { base, length, device } of vga.portClaims) {
      b.ports.claim({ name: "vga", base, length, device, widths: { max: 2 }, lock });
    }
    b.mmio.claim({
      name: "vga",
      base: VGA_WINDOW_BASE,
      length: VGA_WINDOW_BYTES,
      device: vga.window,
      widths: { max: 4 },
      lock,
    });
    return vga;
  }
}
