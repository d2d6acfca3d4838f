/**
 * The card's serial EEPROM of 64 words, by its four pins (register EECD, Microwire) and by EERD.
 *
 * Reference: 317453-006, 5.3 (Microwire interface), 5.6 (map); 13.4.3, 13.4.4.
 */

import { record, u16, u16s, u32, u8 } from "../../../hv/core/state/record.ts";
import { E1000_DEVICE_ID, INTEL } from "./identity.ts";

/** EECD: clock, chip select, data in (to the EEPROM), data out, request, grant, present. */
const SK = 1;
const CS = 2;
const DI = 4;
const DO = 8;
const REQ = 0x40;
const GNT = 0x80;
const PRES = 0x100;

/** EERD: start, done; the address from bit 8 and the data from bit 16 on. */
const START = 1;
const DONE = 0x10;

const WORDS = 64;
const CHECKSUM_WORD = 0x3f;
/** All words together give this (5.6.35). */
const CHECKSUM = 0xbaba;
/** A read: start bit 1, then 10b, then six address bits. */
const COMMAND_BITS = 9;
const READ = 0b110;

/** State of the pins. */
export const E1000EepromState = record("e1000_eeprom", 1, {
  /** What was last written to EECD. */
  eecd: u32,
  /** Bits that have been clocked in since the chip was selected, and how many. */
  command: u16,
  commandBits: u8,
  /** Bits of the words being read out that have gone by. */
  outBits: u16,
  words: u16s(WORDS),
});
/** A view of `E1000EepromState`. */
export type E1000EepromState = InstanceType<typeof E1000EepromState>;

/** See above. */
export class E1000Eeprom {
  readonly #state: E1000EepromState;
  readonly #mac: Uint8Array;

  /** @param mac The card's address, which its first three words hold. */
  constructor(state: E1000EepromState, mac: Uint8Array) {
    this.#state = state;
    this.#mac = mac;
  }

  reset(): void {
    const s = this.#state;
    s.eecd =
      s.command =
      s.commandBits =
      s.outBits =
        0;
    s.words.fill(0);
    for (let i = 0; i < 3; i++) s.words[i] = this.#mac[i * 2] | this.#mac[i * 2 + 1] << 8;
    // 5.6.6 to 5.6.9: initialization control word 1, subsystem, device and vendor.
    s.words[0x0a] = 0x4408;
    s.words[0x0b] = 0x001e;
    s.words[0x0c] = INTEL;
    s.words[0x0d] = E1000_DEVICE_ID;
    s.words[0x0e] = INTEL;
    let sum = 0;
    for (let i = 0; i < CHECKSUM_WORD; i++) sum += s.words[i];
    s.words[CHECKSUM_WORD] = CHECKSUM - sum;
  }

  get eecd(): number {
    const s = this.#state;
    const granted = (s.eecd & REQ) !== 0 ? GNT : 0;
    return (s.eecd & ~(DO | GNT)) | granted | PRES | (this.#dataOut ? DO : 0);
  }

  set eecd(value: number) {
    const s = this.#state;
    const rises = (value & SK) !== 0 && (s.eecd & SK) === 0;
    s.eecd = value & (SK | CS | DI | REQ);
    if ((value & CS) === 0) {
      s.command = s.commandBits = s.outBits = 0;
      return;
    }
    if (!rises) return;
    if (s.commandBits < COMMAND_BITS) {
      // Zeros before the start bit are none of the command.
      if (s.commandBits === 0 && (value & DI) === 0) return;
      s.command = (s.command << 1) | ((value & DI) !== 0 ? 1 : 0);
      s.commandBits++;
    } else {
      s.outBits = (s.outBits + 1) & 0x3ff;
    }
  }

  /** The value of EERD after `value` was written to it. */
  readWord(value: number): number {
    if ((value & START) === 0) return value;
    const address = (value >>> 8) & 0xff;
    const word = address < WORDS ? this.#state.words[address] : 0;
    return (word * 0x1_0000) + (address << 8 | DONE);
  }

  /** After the command a zero comes out, then the words from the address on, high bits first. */
  get #dataOut(): boolean {
    const s = this.#state;
    if (s.commandBits < COMMAND_BITS || (s.command >> 6) !== READ) return true;
    if (s.outBits === 0) return false;
    const bit = s.outBits - 1;
    const word = s.words[((s.command & 0x3f) + (bit >> 4)) % WORDS];
    return ((word >> (15 - (bit & 15))) & 1) !== 0;
  }
}
