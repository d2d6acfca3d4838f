/**
 * PCI bus 0 and the host bridge's configuration mechanism 1: CONFADD at CF8h, CONFDATA at CFCh.
 *
 * Every configuration access, and so every function's configuration space, is guarded by one lock:
 * that of the claim on CF8h-CFFh. The board claims `address` for four ports at CF8h and `data` for
 * four at CFCh, both with widths 1 to 4 and that lock.
 *
 * Left out: bridges, so that only bus 0 answers; special cycles.
 *
 * References: PCI Local Bus Specification 3.0, 3.2.2.3.2; 82441FX (290549-001), 3.1.
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IoBus } from "../../hv/core/bus/io_bus.ts";
import { record, u32 } from "../../hv/core/state/record.ts";
import { isMemory } from "./pci_bar.ts";
import type { PciFunction } from "./pci_function.ts";

const SLOTS = 32;
const FUNCTIONS = 8;

/** CONFADD: enable, bus, device, function and register; the other bits are zero. */
const CONFADD_ENABLE = 0x8000_0000;
const CONFADD_BITS = 0x80ff_fffc;

/** The byte of CONFADD's address that belongs to the reset control register, CF9h. */
const RESET_CONTROL = 1;

const ONES = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff];

/** State of the bus. */
export const PciBusState = record("pci_bus", 2, { confadd: u32 });
/** A view of `PciBusState`. */
export type PciBusState = InstanceType<typeof PciBusState>;

/** What the bus needs from the board. */
export interface PciBusOptions {
  readonly ports: IoBus;
  readonly memory: IoBus;
  /** Answers byte accesses to CF9h, which lies within CONFADD's address. */
  readonly resetControl?: IoHandler;
}

/** A function in its place. */
interface Place {
  readonly pci: PciFunction;
  /** Each takes a BAR's range off its bus. */
  readonly claims: readonly (() => void)[];
}

/** See above. */
export class PciBus implements Device {
  /** CF8h-CFBh, access width 1 to 4. */
  readonly address: IoHandler = {
    read: (offset, size) => this.#readAddress(offset, size),
    write: (offset, size, value) => this.#writeAddress(offset, size, value),
  };
  /** CFCh-CFFh, access width 1 to 4. */
  readonly data: IoHandler = {
    read: (offset, size) => this.#readData(offset, size),
    write: (offset, size, value) => this.#writeData(offset, size, value),
  };
  readonly #state: PciBusState;
  readonly #options: PciBusOptions;
  readonly #places: (Place | undefined)[] = new Array(SLOTS * FUNCTIONS).fill(undefined);

  constructor(state: PciBusState, options: PciBusOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** Resets CONFADD. The functions are devices of their own. */
  reset(): void {
    this.#state.confadd = 0;
  }

  /**
   * Puts a function in its place; its BARs are claimed on the port and memory buses.
   *
   * @param slot 0 to 31.
   * @param number 0 to 7; above 0, function 0 must be there already and say it is multifunction.
   * @throws {Error} When the place does not exist or is taken: a mistake of the board.
   */
  attach(slot: number, number: number, pci: PciFunction): void {
    const index = slot * FUNCTIONS + number;
    if (!(slot >= 0 && slot < SLOTS && number >= 0 && number < FUNCTIONS)) {
      throw new Error(`Cannot attach a PCI function at ${slot}.${number}: 0.0 to 31.7 exist`);
    }
    if (this.#places[index] !== undefined) {
      throw new Error(`Cannot attach a PCI function at ${slot}.${number}: there is one already`);
    }
    if (number > 0 && this.at(slot, 0)?.identity.multifunction !== true) {
      throw new Error(`Cannot attach a PCI function at ${slot}.${number}: ${slot}.0 must be there`);
    }
    const { ports, memory } = this.#options;
    pci.onMoved = () => this.#moved();
    const claims = pci.bars.flatMap((bar) => {
      const { name, device, widths, lock } = bar;
      if (device === undefined) return [];
      const bus = isMemory(bar) ? memory : ports;
      return [bus.claimMovable({ name, device, widths, lock, range: () => pci.barRange(bar) })];
    });
    this.#places[index] = { pci, claims };
  }

  /**
   * Takes the function out of its place, on this thread's bus. Whoever removes the device resets it
   * first, which switches its BARs off.
   */
  detach(slot: number, number: number): void {
    const index = slot * FUNCTIONS + number;
    for (const unclaim of this.#places[index]?.claims ?? []) unclaim();
    this.#places[index] = undefined;
  }

  /** The function at this place, or undefined when there is none. */
  at(slot: number, number: number): PciFunction | undefined {
    return this.#places[slot * FUNCTIONS + number]?.pci;
  }

  /** Every function, in order: for the monitor and the firmware. */
  get functions(): readonly { slot: number; number: number; pci: PciFunction }[] {
    return this.#places.flatMap((place, i) =>
      place === undefined
        ? []
        : [{ slot: Math.floor(i / FUNCTIONS), number: i % FUNCTIONS, pci: place.pci }]
    );
  }

  #moved(): void {
    this.#options.ports.moved();
    this.#options.memory.moved();
  }

  // CONFADD is there for dwords only; narrower accesses go to the bus, where CF9h answers.
  #readAddress(offset: number, size: number): number {
    if (size === 4) return this.#state.confadd;
    if (size === 1 && offset === RESET_CONTROL) {
      return this.#options.resetControl?.read(0, 1) ?? 0xff;
    }
    return ONES[size];
  }

  #writeAddress(offset: number, size: number, value: number): void {
    if (size === 4) this.#state.confadd = (value & CONFADD_BITS) >>> 0;
    else if (size === 1 && offset === RESET_CONTROL) {
      this.#options.resetControl?.write(0, 1, value);
    }
  }

  #readData(offset: number, size: number): number {
    const pci = this.#selected();
    if (pci === undefined) return ONES[size];
    return pci.configRead((this.#state.confadd & 0xfc) + offset, size);
  }

  #writeData(offset: number, size: number, value: number): void {
    this.#selected()?.configWrite((this.#state.confadd & 0xfc) + offset, size, value);
  }

  /** The function that CONFADD names, if enabled, on bus 0 and present. */
  #selected(): PciFunction | undefined {
    const { confadd } = this.#state;
    if (confadd < CONFADD_ENABLE || (confadd & 0xff_0000) !== 0) return undefined;
    return this.at((confadd >>> 11) & 31, (confadd >>> 8) & 7);
  }
}
