/**
 * SMBus host controller of the PIIX4, with nothing connected to it: operating systems look for
 * memory modules and sensors there, and are told at once that nobody answered, instead of finding a
 * bus that is busy for ever. Where it lies is said by devices/pci/piix4_pm.ts.
 *
 * Left out: the slave interface (its registers hold what is written), interrupts.
 *
 * Reference: 82371AB (290562-001), 7.3 "SMBus I/O space registers".
 */

import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import { bytes, record, u8 } from "../../hv/core/state/record.ts";

/** 0h, R/W. */
const SMBHSTSTS = 0x0;
const DEV_ERR = 1 << 2;
const FAILED = 1 << 4;
const SMBHSTSTS_CLEARABLE = 0x1e;
/** 1h, R/W: nothing ever happens. */
const SMBSLVSTS = 0x1;
/** 2h, R/W; a read rewinds SMBBLKDAT. */
const SMBHSTCNT = 0x2;
const KILL = 1 << 1;
const START = 1 << 6;
/** The protocol and the interrupt enable; the others act once. */
const SMBHSTCNT_KEPT = 0x1d;
// 3h to 6h, R/W: SMBHSTCMD, SMBHSTADD, SMBHSTDAT0, SMBHSTDAT1.
/** 7h, R/W: the next of 32 bytes of a block. */
const SMBBLKDAT = 0x7;
const BLOCK_BYTES = 32;
/** Offsets from here on do not exist; 8h to Dh are the slave interface. */
const REGISTERS = 0xe;

/** State of the controller. */
export const Piix4SmbusState = record("piix4_smbus", 1, {
  /** The registers by offset. */
  registers: bytes(REGISTERS),
  block: bytes(BLOCK_BYTES),
  blockIndex: u8,
});
/** A view of `Piix4SmbusState`. */
export type Piix4SmbusState = InstanceType<typeof Piix4SmbusState>;

/** See above. 16 ports, access width 1. */
export class Piix4Smbus implements Device, IoHandler {
  readonly #state: Piix4SmbusState;

  constructor(state: Piix4SmbusState) {
    this.#state = state;
  }

  reset(): void {
    this.#state.registers.fill(0);
    this.#state.block.fill(0);
    this.#state.blockIndex = 0;
  }

  read(offset: number, _size: number): number {
    const state = this.#state;
    if (offset >= REGISTERS) return 0xff;
    if (offset === SMBHSTCNT) state.blockIndex = 0;
    if (offset === SMBBLKDAT) return state.block[this.#nextBlockIndex()];
    return state.registers[offset];
  }

  write(offset: number, _size: number, value: number): void {
    const { registers, block } = this.#state;
    if (offset >= REGISTERS || offset === SMBSLVSTS) return;
    if (offset === SMBHSTSTS) registers[SMBHSTSTS] &= ~(value & SMBHSTSTS_CLEARABLE);
    else if (offset === SMBHSTCNT) this.#control(value);
    else if (offset === SMBBLKDAT) block[this.#nextBlockIndex()] = value;
    else registers[offset] = value;
  }

  #control(value: number): void {
    const { registers } = this.#state;
    registers[SMBHSTCNT] = value & SMBHSTCNT_KEPT;
    if ((value & KILL) !== 0) registers[SMBHSTSTS] |= FAILED;
    else if ((value & START) !== 0) registers[SMBHSTSTS] |= DEV_ERR;
  }

  #nextBlockIndex(): number {
    const index = this.#state.blockIndex % BLOCK_BYTES;
    this.#state.blockIndex = (index + 1) % BLOCK_BYTES;
    return index;
  }
}
