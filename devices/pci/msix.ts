/**
 * MSI-X: a function's interrupts as messages, each with an address, data and mask of its own in a table
 * that lies in a BAR, with a bit array of those that wait behind their masks.
 *
 * The capability's control register is written under the bus's lock, the table under the function's
 * own; messages are sent under the latter.
 *
 * Reference: PCI Local Bus Specification 3.0, 6.8.2 "MSI-X Capability and Table Structures".
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { record, u16, u32s } from "../../hv/core/state/record.ts";
import type { Bar } from "./pci_bar.ts";
import type { PciCapability } from "./pci_function.ts";

const CAPABILITY_ID = 0x11;
/** Message control: table size less one in bits 10-0. */
const FUNCTION_MASK = 1 << 14;
const ENABLE = 1 << 15;

const ENTRY_WORDS = 4;
const ADDRESS = 0;
const ADDRESS_HIGH = 1;
const DATA = 2;
const VECTOR_CONTROL = 3;
const MASKED = 1;

/** The window: table from 0, pending bits from here on. */
const PBA = 0x800;
const WINDOW_BYTES = 0x1000;
/** What has room before the pending bits. */
const MAX_VECTORS = PBA / (ENTRY_WORDS * 4);

/** The state of a function with so many vectors. */
// deno-lint-ignore explicit-module-boundary-types
export const msixState = (vectors: number) =>
  record("msix", 1, {
    /** Message control as it was last written. */
    control: u16,
    table: u32s(vectors * ENTRY_WORDS),
    pending: u32s(Math.ceil(vectors / 32)),
  });
/** A view of what `msixState` declares. */
export type MsixState = InstanceType<ReturnType<typeof msixState>>;

/** Delivers a message: address and data. */
export type SendMsi = (address: number, data: number) => void;

/** How a function has MSI-X. */
export interface MsixOptions {
  readonly state: MsixState;
  /** The function's own. */
  readonly lock: Lock;
  readonly sendMsi: SendMsi;
  /** Number of the BAR that the table lies in. */
  readonly barIndex: number;
  /** Offset of the capability in configuration space. */
  readonly offset: number;
  /** Told when messages take the interrupt pin's place: the function lets it go. Under its lock. */
  readonly onEnabled?: () => void;
  /** May the function be bus master? A message that may not be sent waits, as a masked one does. */
  readonly mayMaster?: () => boolean;
}

/** See above. */
export class Msix implements Device {
  /** Vectors of the function. */
  readonly vectors: number;
  readonly capability: PciCapability;
  readonly bar: Bar;
  readonly #state: MsixState;
  readonly #lock: Lock;
  readonly #sendMsi: SendMsi;
  readonly #onEnabled: (() => void) | undefined;
  readonly #mayMaster: () => boolean;

  constructor(options: MsixOptions) {
    const { state, lock, sendMsi, barIndex, offset, onEnabled, mayMaster } = options;
    this.#state = state;
    this.#lock = lock;
    this.#sendMsi = sendMsi;
    this.#onEnabled = onEnabled;
    this.#mayMaster = mayMaster ?? (() => true);
    this.vectors = state.table.length / ENTRY_WORDS;
    if (this.vectors > MAX_VECTORS) {
      throw new Error(`Cannot have ${this.vectors} MSI-X vectors: ${MAX_VECTORS} are the most`);
    }
    this.capability = {
      id: CAPABILITY_ID,
      offset,
      registers: [
        {
          name: "MSI-X control",
          offset: 2,
          bytes: 2,
          reset: this.vectors - 1,
          writable: FUNCTION_MASK | ENABLE,
          onWrite: (control) => lock.with(() => this.#controlWritten(control)),
        },
        { name: "MSI-X table", offset: 4, bytes: 4, reset: barIndex },
        { name: "MSI-X PBA", offset: 8, bytes: 4, reset: PBA | barIndex },
      ],
    };
    const window: IoHandler = {
      read: (at, size) => this.#read(at, size),
      write: (at, size, value) => this.#write(at, size, value),
    };
    this.bar = {
      name: "msi-x",
      index: barIndex,
      kind: "mem32",
      size: WINDOW_BYTES,
      device: window,
      widths: { min: 4, max: 4 },
      lock,
    };
  }

  reset(): void {
    this.#lock.with(() => {
      const { table, pending } = this.#state;
      this.#state.control = 0;
      table.fill(0);
      for (let vector = 0; vector < this.vectors; vector++) {
        table[vector * ENTRY_WORDS + VECTOR_CONTROL] = MASKED;
      }
      pending.fill(0);
    });
  }

  /** Do messages take the place of the interrupt pin? */
  get enabled(): boolean {
    return (this.#state.control & ENABLE) !== 0;
  }

  /** Interrupts by vector, 0 to `vectors` - 1; masked, it waits. Under the function's lock. */
  send(vector: number): void {
    if (vector >= this.vectors || !this.enabled) return;
    if (this.#isMasked(vector)) this.#state.pending[vector >>> 5] |= 1 << (vector & 31);
    else this.#deliver(vector);
  }

  /** What waits for vector `vector` is not wanted any more. Under the function's lock. */
  withdraw(vector: number): void {
    if (vector < this.vectors) this.#state.pending[vector >>> 5] &= ~(1 << (vector & 31));
  }

  /** Sends what has waited and may go now. Under the function's lock. */
  sendWaiting(): void {
    for (let vector = 0; vector < this.vectors; vector++) this.#release(vector);
  }

  #isMasked(vector: number): boolean {
    const { control, table } = this.#state;
    return !this.#mayMaster() || (control & FUNCTION_MASK) !== 0 ||
      (table[vector * ENTRY_WORDS + VECTOR_CONTROL] & MASKED) !== 0;
  }

  #deliver(vector: number): void {
    const { table } = this.#state;
    const at = vector * ENTRY_WORDS;
    this.#sendMsi(table[at + ADDRESS] + table[at + ADDRESS_HIGH] * 2 ** 32, table[at + DATA]);
  }

  #controlWritten(control: number): void {
    const wasEnabled = this.enabled;
    this.#state.control = control;
    if (this.enabled && !wasEnabled) this.#onEnabled?.();
    this.sendWaiting();
  }

  /** Sends what has waited for this vector, if it may go now. */
  #release(vector: number): void {
    const bit = 1 << (vector & 31);
    const { pending } = this.#state;
    if ((pending[vector >>> 5] & bit) === 0 || !this.enabled || this.#isMasked(vector)) return;
    pending[vector >>> 5] &= ~bit;
    this.#deliver(vector);
  }

  #read(offset: number, _size: number): number {
    const { table, pending } = this.#state;
    const word = offset >>> 2;
    if (offset >= PBA) return pending[(offset - PBA) >>> 2] ?? 0;
    return table[word] ?? 0;
  }

  #write(offset: number, _size: number, value: number): void {
    const { table } = this.#state;
    const word = offset >>> 2;
    // The pending bits are read only.
    if (offset >= PBA || word >= table.length) return;
    const register = word % ENTRY_WORDS;
    table[word] = register === VECTOR_CONTROL
      ? value & MASKED
      : register === ADDRESS
      ? (value & ~3) >>> 0
      : value;
    if (register === VECTOR_CONTROL) this.#release(Math.floor(word / ENTRY_WORDS));
  }
}
