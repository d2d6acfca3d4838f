/** State of the 82540EM, and what its parts share. */

import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { f64, flag, nested, record, u32, u32s, u8 } from "../../../hv/core/state/record.ts";
import { E1000EepromState } from "./eeprom.ts";
import { E1000PhyState } from "./phy.ts";
import { DESCRIPTOR_BYTES, Reg, REGISTER_BYTES } from "./registers.ts";

/** See above. */
export const E1000State = record("e1000", 2, {
  /** Guest time before which no other interrupt is raised (ITR), ns. */
  nextInterruptNs: f64,
  /** IOADDR. */
  ioAddress: u32,
  /** The two halves of the last context descriptor: checksum offsets; lengths and commands. */
  context: u32s(4),
  /** Does the interrupt line ask? */
  isAsserted: flag,
  /** Who has the cable out: bits of `Unplugged`. */
  unplugged: u8,
  /** A frame from the network waits for receive descriptors. */
  isStarved: flag,
  eeprom: nested(E1000EepromState),
  phy: nested(E1000PhyState),
  /** Every register by its offset divided by four. */
  registers: u32s(REGISTER_BYTES / 4),
});
/** A view of `E1000State`. */
export type E1000State = InstanceType<typeof E1000State>;

/** Index of a register in `E1000State.registers`. */
export const indexOf = (register: number): number => register >> 2;

/** A ring of descriptors in guest memory, by the registers that describe it. */
export class DescriptorRing {
  readonly #registers: Uint32Array;
  readonly #base: number;
  readonly #memory: GuestMemory;

  /** @param base `Reg.RDBAL` or `Reg.TDBAL`: the other registers follow it alike. */
  constructor(registers: Uint32Array, base: number, memory: GuestMemory) {
    this.#registers = registers;
    this.#base = base;
    this.#memory = memory;
  }

  /** Descriptors in the ring; 0 when there is none. */
  get count(): number {
    return (this.#at(Reg.RDLEN) & 0xf_ff80) / DESCRIPTOR_BYTES;
  }

  /** The descriptor that the card uses next; always below `count` while there are any. */
  get head(): number {
    const { count } = this;
    return count === 0 ? 0 : (this.#at(Reg.RDH) & 0xffff) % count;
  }

  set head(index: number) {
    this.#registers[indexOf(Reg.RDH - Reg.RDBAL + this.#base)] = index;
  }

  /** Descriptors that the driver has given to the card. */
  get available(): number {
    const { count } = this;
    if (count === 0) return 0;
    const tail = (this.#at(Reg.RDT) & 0xffff) % count;
    return (tail - this.head + count) % count;
  }

  /** The 16 bytes of descriptor `index`; undefined where they are no memory. */
  view(index: number): Uint8Array | undefined {
    const high = this.#at(Reg.RDBAH);
    const low = (this.#at(Reg.RDBAL) & ~15) >>> 0;
    const address = high * 2 ** 32 + low + index * DESCRIPTOR_BYTES;
    return this.#memory.view(address, DESCRIPTOR_BYTES);
  }

  #at(register: number): number {
    return this.#registers[indexOf(register - Reg.RDBAL + this.#base)];
  }
}

/** A little-endian word of 16, 32 or 64 bits of a descriptor; the last exact to 2^53. */
export const le16 = (d: Uint8Array, at: number): number => d[at] | d[at + 1] << 8;
export const le32 = (d: Uint8Array, at: number): number =>
  (d[at] | d[at + 1] << 8 | d[at + 2] << 16 | d[at + 3] << 24) >>> 0;
export const le64 = (d: Uint8Array, at: number): number => le32(d, at) + le32(d, at + 4) * 2 ** 32;
