/**
 * A PCI function: configuration space with header, base address registers, capabilities and
 * interrupt pin. Chips and virtio devices hold one and declare in lists what it contains.
 *
 * Left out: latency timers, parity and system errors, power management other than as a capability
 * of the device, bridges (header type 1).
 *
 * The configuration space is guarded by the bus's lock. The interrupt pin may be driven from any
 * thread, under the device's own lock: see `InterruptPin`.
 *
 * Reference: PCI Local Bus Specification 3.0, chapter 6.
 */

import type { AddressRange } from "../../hv/core/memory/address_range.ts";
import type { Device } from "../../hv/core/bus/device.ts";
import { bytes, flag, record } from "../../hv/core/state/record.ts";
import { PciCommand, PciHeader } from "./config_header.ts";
import { type ConfigRegister, ConfigSpace } from "./config_space.ts";
import { type Bar, barOffset, barRange, barRegisters, isMemory } from "./pci_bar.ts";

/** Bits of the status register. */
const STATUS_INTERRUPT = 1 << 3;
const STATUS_CAPABILITIES = 1 << 4;
/** Errors, all cleared by writing ones. */
const STATUS_ERRORS = 0xf900;

const HEADER_MULTIFUNCTION = 0x80;

/** What a function is, from the head of its data sheet. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Class, subclass and programming interface, e.g. 010180h. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** Is it function 0 of a slot with more than one? */
  readonly multifunction?: boolean;
  /** Interrupt pin: 1 (INTA#) to 4 (INTD#), or 0. */
  readonly pin?: number;
}

/** The command and status registers, which differ from chip to chip. */
export interface PciControl {
  /** Command bits after reset; default none. */
  readonly command?: number;
  /** Command bits that the guest can write; default those that most functions have. */
  readonly commandWritable?: number;
  /** Status after reset; default 0. */
  readonly status?: number;
  /** Has it a latency timer (0Dh)? Default no. */
  readonly latencyTimer?: boolean;
}

/** A capability; its registers' offsets count from its first byte (the two of the header first). */
export interface PciCapability {
  readonly id: number;
  /** Where it lies in configuration space, 40h or above, a multiple of 4. */
  readonly offset: number;
  /** Registers from offset 2 on. */
  readonly registers: readonly ConfigRegister[];
}

/** Everything that a function declares. */
export interface PciFunctionOptions {
  readonly identity: PciIdentity;
  readonly control?: PciControl;
  /** Registers of its own, beyond the header. */
  readonly registers?: readonly ConfigRegister[];
  readonly bars?: readonly Bar[];
  readonly capabilities?: readonly PciCapability[];
  /** Needed when `identity.pin` is not 0. */
  readonly pin?: InterruptPin;
  /** Told, under the bus's lock, when the guest has let the function be bus master or has forbidden it. */
  readonly onMaster?: (isMaster: boolean) => void;
}

/** Where a function's interrupt pin leads. */
export interface InterruptPin {
  /**
   * Makes the pin follow `level`, which is called under the lock of whoever routes interrupts: so
   * the last of two threads that change what it depends on decides.
   */
  update(level: () => boolean): void;
}

/** The state of every PCI function. */
export const PciFunctionState = record("pci_function", 1, {
  config: bytes(256),
  /** Does the device ask for an interrupt on its pin? */
  interrupt: flag,
});
/** A view of `PciFunctionState`. */
export type PciFunctionState = InstanceType<typeof PciFunctionState>;

const DEFAULT_COMMAND = PciCommand.ioSpace | PciCommand.memorySpace | PciCommand.busMaster |
  PciCommand.parityError | PciCommand.systemError | PciCommand.interruptDisable;

/** See above. */
export class PciFunction implements Device {
  /** The configuration space, for the device itself. */
  readonly config: ConfigSpace;
  readonly bars: readonly Bar[];
  readonly identity: PciIdentity;
  /** Called after a base address or its decoding may have changed; the bus sets it. */
  onMoved: () => void = () => {};
  readonly #state: PciFunctionState;
  readonly #configBytes: Uint8Array;
  readonly #pin: InterruptPin | undefined;
  readonly #onMaster: ((isMaster: boolean) => void) | undefined;
  /** Made once, because `setInterrupt` is on hot paths. */
  readonly #pinLevel = () => this.#state.interrupt && !this.commands(PciCommand.interruptDisable);

  constructor(state: PciFunctionState, options: PciFunctionOptions) {
    this.#state = state;
    this.#configBytes = state.config;
    this.#pin = options.pin;
    this.#onMaster = options.onMaster;
    this.identity = options.identity;
    this.bars = options.bars ?? [];
    this.config = new ConfigSpace(state.config, [
      ...this.#header(options),
      ...this.bars.flatMap(barRegisters),
      ...capabilityRegisters(options.capabilities ?? []),
      ...(options.registers ?? []),
    ]);
  }

  reset(): void {
    this.#watchBars(() => this.config.reset());
    this.#state.interrupt = false;
    this.#pin?.update(this.#pinLevel);
  }

  /** Configuration read of 1, 2 or 4 bytes. */
  configRead(offset: number, size: number): number {
    return this.config.read(offset, size);
  }

  /** Configuration write of 1, 2 or 4 bytes. */
  configWrite(offset: number, size: number, value: number): void {
    const header = offset < 0x40 && offset + size > PciHeader.PCICMD;
    if (!header) return this.config.write(offset, size, value);
    const wasMaster = this.isMaster;
    this.#watchBars(() => this.config.write(offset, size, value));
    this.#pin?.update(this.#pinLevel);
    if (this.isMaster !== wasMaster) this.#onMaster?.(!wasMaster);
  }

  /**
   * May the device be bus master: reach guest memory by itself, and send messages? On any thread; it is
   * on hot paths. Reference: PCI Local Bus Specification 3.0, 6.2.2, command bit 2.
   */
  get isMaster(): boolean {
    return (this.#configBytes[PciHeader.PCICMD] & PciCommand.busMaster) !== 0;
  }

  /** Are all of these `PciCommand` bits set? */
  commands(bits: number): boolean {
    return (this.config.get(PciHeader.PCICMD, 2) & bits) === bits;
  }

  /** Pulls the interrupt pin (true) or lets it go; under the device's lock. */
  setInterrupt(level: boolean): void {
    if (this.#state.interrupt === level) return;
    this.#state.interrupt = level;
    this.#pin?.update(this.#pinLevel);
  }

  /** Where the BAR lies at present, or undefined while it is not decoded. */
  barRange(bar: Bar): AddressRange | undefined {
    const decode = isMemory(bar) ? PciCommand.memorySpace : PciCommand.ioSpace;
    if (!this.commands(decode)) return undefined;
    const offset = barOffset(bar);
    const high = bar.kind === "mem64" ? this.config.get(offset + 4, 4) : 0;
    return barRange(bar, this.config.get(offset, 4), high);
  }

  /** Does `change`, and tells everyone concerned where the BARs are after it. */
  #watchBars(change: () => void): void {
    if (this.bars.length === 0) return change();
    const before = this.bars.map((bar) => this.barRange(bar));
    change();
    let moved = false;
    for (const [i, bar] of this.bars.entries()) {
      const after = this.barRange(bar);
      if (after?.base === before[i]?.base) continue;
      moved = true;
      bar.onMoved?.(after);
    }
    if (moved) this.onMoved();
  }

  #header({ identity, control = {}, capabilities = [] }: PciFunctionOptions): ConfigRegister[] {
    const status = (control.status ?? 0) | (capabilities.length > 0 ? STATUS_CAPABILITIES : 0);
    return [
      { name: "VID", offset: PciHeader.VID, bytes: 2, reset: identity.vendor },
      { name: "DID", offset: PciHeader.DID, bytes: 2, reset: identity.device },
      {
        name: "PCICMD",
        offset: PciHeader.PCICMD,
        bytes: 2,
        reset: control.command,
        writable: control.commandWritable ?? DEFAULT_COMMAND,
      },
      {
        name: "PCISTS",
        offset: PciHeader.PCISTS,
        bytes: 2,
        reset: status,
        clearedByOne: STATUS_ERRORS,
        // Not stored: it changes under the device's lock, the rest under the bus's.
        onRead: (stored) => this.#state.interrupt ? stored | STATUS_INTERRUPT : stored,
      },
      { name: "RID", offset: PciHeader.RID, bytes: 1, reset: identity.revision },
      { name: "CLASSC", offset: PciHeader.CLASSC, bytes: 3, reset: identity.classCode },
      { name: "CLS", offset: PciHeader.CLS, bytes: 1, writable: 0xff },
      {
        name: "MLT",
        offset: PciHeader.MLT,
        bytes: 1,
        writable: control.latencyTimer === true ? 0xf8 : 0,
      },
      {
        name: "HEDT",
        offset: PciHeader.HEDT,
        bytes: 1,
        reset: identity.multifunction === true ? HEADER_MULTIFUNCTION : 0,
      },
      { name: "SVID", offset: PciHeader.SVID, bytes: 2, reset: identity.subsystemVendor },
      { name: "SID", offset: PciHeader.SID, bytes: 2, reset: identity.subsystem },
      { name: "CAPPTR", offset: PciHeader.CAPPTR, bytes: 1, reset: capabilities[0]?.offset },
      { name: "INTLN", offset: PciHeader.INTLN, bytes: 1, writable: 0xff },
      { name: "INTPN", offset: PciHeader.INTPN, bytes: 1, reset: identity.pin },
    ];
  }
}

/** The capabilities chained in the order given (PCI 3.0, 6.7). */
function capabilityRegisters(capabilities: readonly PciCapability[]): ConfigRegister[] {
  return capabilities.flatMap(({ id, offset, registers }, i) => {
    const next = capabilities[i + 1]?.offset ?? 0;
    return [
      { name: `CAP${i}`, offset, bytes: 2, reset: id | (next << 8) },
      ...registers.map((register) => ({ ...register, offset: offset + register.offset })),
    ];
  });
}
