/**
 * The 256 bytes of configuration space of a PCI function, declared as a list of registers as a data
 * sheet prints them: offset, width, reset value, which bits can be written, which are cleared by
 * writing a one, and what else a write does.
 *
 * The bytes lie in the state record; this class only knows the rules. Whoever calls holds the bus's
 * lock (see pci_bus.ts).
 *
 * Reference: PCI Local Bus Specification 3.0, chapter 6.
 */

/** Bytes of a function's configuration space. */
export const CONFIG_SPACE_BYTES = 256;

/** A register in configuration space. */
export interface ConfigRegister {
  /** Its name in the data sheet, for errors and the monitor. */
  readonly name: string;
  /** Offset of its first byte, 0 to 255. */
  readonly offset: number;
  /** Width in bytes; the masks and values below are little-endian and cover the first four. */
  readonly bytes: number;
  /** Value after reset; default 0. */
  readonly reset?: number;
  /** Bits that the guest can write; default none. */
  readonly writable?: number;
  /** Bits that the guest clears by writing a one; default none. */
  readonly clearedByOne?: number;
  /** Gives what the guest reads instead of what is stored. Must not throw. */
  readonly onRead?: (stored: number) => number;
  /** Told after a write that touched it, with the stored value before and after. Must not throw. */
  readonly onWrite?: (after: number, before: number) => void;
}

const VALUE_BYTES = 4;

/** See above. */
export class ConfigSpace {
  readonly registers: readonly ConfigRegister[];
  readonly #bytes: Uint8Array;
  readonly #reset = new Uint8Array(CONFIG_SPACE_BYTES);
  readonly #writable = new Uint8Array(CONFIG_SPACE_BYTES);
  readonly #clearedByOne = new Uint8Array(CONFIG_SPACE_BYTES);
  /** For each byte, the register with a hook that it belongs to. */
  readonly #hooked: (ConfigRegister | undefined)[] = new Array(CONFIG_SPACE_BYTES).fill(undefined);

  /**
   * @param bytes The 256 bytes, in the state record.
   * @throws {Error} When two registers overlap or one leaves the space: a mistake of the device.
   */
  constructor(bytes: Uint8Array, registers: readonly ConfigRegister[]) {
    this.#bytes = bytes;
    this.registers = registers;
    const owner: (string | undefined)[] = new Array(CONFIG_SPACE_BYTES).fill(undefined);
    for (const register of registers) {
      const { name, offset, bytes: width } = register;
      if (offset < 0 || width < 1 || offset + width > CONFIG_SPACE_BYTES) {
        throw new Error(
          `Cannot place ${name} at configuration offset ${offset}: outside of 256 bytes`,
        );
      }
      for (let i = 0; i < width; i++) {
        const at = offset + i;
        if (owner[at] !== undefined) {
          throw new Error(
            `Cannot place ${name} at configuration offset ${at}: ${owner[at]} is there`,
          );
        }
        owner[at] = name;
        if (register.onRead !== undefined || register.onWrite !== undefined) {
          this.#hooked[at] = register;
        }
        if (i >= VALUE_BYTES) continue;
        this.#reset[at] = (register.reset ?? 0) >>> (i * 8);
        this.#writable[at] = (register.writable ?? 0) >>> (i * 8);
        this.#clearedByOne[at] = (register.clearedByOne ?? 0) >>> (i * 8);
      }
    }
  }

  /** Puts the reset values in place; no hook is told. */
  reset(): void {
    this.#bytes.set(this.#reset);
  }

  /** The stored value of 1 to 4 bytes at `offset`, without hooks: for the device itself. */
  get(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#bytes[offset + i];
    return value;
  }

  /** Stores 1 to 4 bytes at `offset` whatever the masks say, without hooks: for the device itself. */
  set(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.#bytes[offset + i] = value >>> (i * 8);
  }

  /** What the guest reads: `size` (1, 2 or 4) bytes at `offset`; ones beyond the space. */
  read(offset: number, size: number): number {
    let value = 0;
    let hooked: ConfigRegister | undefined;
    let hookedValue = 0;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const register = this.#hooked[at];
      let byte = at < CONFIG_SPACE_BYTES ? this.#bytes[at] : 0xff;
      if (register?.onRead !== undefined) {
        if (register !== hooked) {
          hooked = register;
          hookedValue = register.onRead(this.#value(register));
        }
        byte = (hookedValue >>> ((at - register.offset) * 8)) & 0xff;
      }
      value += byte * 2 ** (i * 8);
    }
    return value;
  }

  /** What the guest writes: `size` (1, 2 or 4) bytes at `offset`. */
  write(offset: number, size: number, value: number): void {
    let at = offset;
    const end = Math.min(offset + size, CONFIG_SPACE_BYTES);
    // Register by register, so that each hook is told once and sees all of its bytes changed.
    while (at < end) {
      const register = this.#hooked[at];
      const stop = register === undefined
        ? at + 1
        : Math.min(end, register.offset + register.bytes);
      const before = register === undefined ? 0 : this.#value(register);
      for (; at < stop; at++) this.#writeByte(at, (value >>> ((at - offset) * 8)) & 0xff);
      if (register?.onWrite !== undefined) register.onWrite(this.#value(register), before);
    }
  }

  #value(register: ConfigRegister): number {
    return this.get(register.offset, Math.min(register.bytes, VALUE_BYTES));
  }

  #writeByte(at: number, byte: number): void {
    const writable = this.#writable[at];
    const written = (this.#bytes[at] & ~writable) | (byte & writable);
    this.#bytes[at] = written & ~(byte & this.#clearedByOne[at]);
  }
}
