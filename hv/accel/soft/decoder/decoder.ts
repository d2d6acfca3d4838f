/**
 * The instruction decoder: bytes to an `Instruction`, with every prefix, for 16-, 32- and 64-bit code
 * (Intel SDM volume 2, chapter 2).
 *
 * The object is reused; the decoder keeps nothing from one instruction to the next.
 */

import { type Entry, OpcodeMap, OPCODES, type Variant } from "./opcode_map.ts";

/** Longest instruction, in bytes. */
export const MAX_INSTRUCTION_BYTES = 15;

/** How decoding ended. */
export const Decoding = {
  ok: 0,
  /** The bytes are no instruction of this processor: #UD. */
  undefined: 1,
  /** More than 15 bytes: #GP(0). */
  tooLong: 2,
  /** The bytes given were not enough. */
  more: 3,
} as const;
/** One of `Decoding`. */
export type Decoding = typeof Decoding[keyof typeof Decoding];

/** Numbers in place of a base or index register. */
export const NO_REGISTER = -1;
export const RIP_REGISTER = -2;

const SEGMENT_PREFIXES = new Map([[0x26, 0], [0x2e, 1], [0x36, 2], [0x3e, 3], [0x64, 4], [
  0x65,
  5,
]]);

/** Base and index of 16-bit addresses by ModRM.rm (SDM volume 2, table 2-1). */
const BASES_16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDICES_16 = [6, 7, 6, 7, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER];

/** A decoded instruction, and the decoder. */
export class Instruction {
  entry!: Entry;
  /** Length in bytes. */
  length = 0;
  /** Sizes in bits. */
  operandSize = 32;
  addressSize = 32;
  /** The REX byte, 0 without. */
  rex = 0;
  /** The register that VEX.vvvv names. */
  vvvv = 0;
  lock = false;
  /** 0, F3h or F2h, where it is not part of the opcode. */
  repeat = 0;
  /** Segment that a prefix names, or -1. */
  segment = -1;
  /** The same, with those that have no effect in 64-bit mode but on which exception comes. */
  named = -1;
  opcode = 0;
  modrm = 0;
  /** Is there a memory operand by ModRM? */
  hasMemory = false;
  /** Register number, `NO_REGISTER` or `RIP_REGISTER`. */
  base = NO_REGISTER;
  index = NO_REGISTER;
  /** Shift of the index. */
  scale = 0;
  displacement = 0;
  /** Immediate: low and high 32 bits, sign-extended. */
  immediate = 0;
  immediateHigh = 0;
  readonly #features: ReadonlySet<string>;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #start = 0;
  #end = 0;
  #bits: 16 | 32 | 64 = 32;
  #operandPrefix = false;
  #vex = false;

  /** @param features CPUID features whose instructions exist (names as in opcode_table.ts). */
  constructor(features: ReadonlySet<string>) {
    this.#features = features;
  }

  /** Decodes what lies in `bytes` from `start`, up to `end` (exclusive), as code of `bits`. */
  decode(bytes: Uint8Array, start: number, end: number, bits: 16 | 32 | 64): Decoding {
    this.#bytes = bytes;
    this.#start = this.#at = start;
    this.#end = end;
    this.#bits = bits;
    this.rex = this.vvvv = this.repeat = 0;
    this.lock =
      this.hasMemory =
      this.#operandPrefix =
      this.#vex =
        false;
    this.segment = this.named = -1;
    this.base = this.index = NO_REGISTER;
    this.scale =
      this.displacement =
      this.immediate =
      this.immediateHigh =
        0;
    const result = this.#decode();
    if (this.#at > end) {
      return this.#at - start > MAX_INSTRUCTION_BYTES ? Decoding.tooLong : Decoding.more;
    }
    this.length = this.#at - start;
    return this.length > MAX_INSTRUCTION_BYTES ? Decoding.tooLong : result;
  }

  /** Was the prefix REX.W, or VEX.W, there? */
  get wide(): boolean {
    return (this.rex & 8) !== 0;
  }

  /** Register number of ModRM.reg. */
  get reg(): number {
    return (this.modrm >> 3 & 7) | (this.rex & 4) << 1;
  }

  /** Register number of ModRM.rm. */
  get rm(): number {
    return (this.modrm & 7) | (this.rex & 1) << 3;
  }

  #byte(): number {
    // What is beyond the end does not matter: `decode` sees that it was reached.
    return this.#at < this.#end ? this.#bytes[this.#at++] : (this.#at++, 0);
  }

  #decode(): Decoding {
    const bits = this.#bits;
    let addressPrefix = false;
    let byte = this.#byte();
    prefixes: for (;; byte = this.#byte()) {
      if (this.#at - this.#start > MAX_INSTRUCTION_BYTES) return Decoding.tooLong;
      if (this.#at > this.#end) return Decoding.more;
      switch (byte) {
        case 0x66:
          this.#operandPrefix = true;
          break;
        case 0x67:
          addressPrefix = true;
          break;
        case 0xf0:
          this.lock = true;
          break;
        case 0xf2:
        case 0xf3:
          this.repeat = byte;
          break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
          // ES, CS, SS and DS have no effect in 64-bit mode, not even on an FS before them.
          if (bits !== 64) this.segment = SEGMENT_PREFIXES.get(byte)!;
          this.named = SEGMENT_PREFIXES.get(byte)!;
          break;
        case 0x64:
        case 0x65:
          this.segment = this.named = SEGMENT_PREFIXES.get(byte)!;
          break;
        default:
          if (bits === 64 && (byte & 0xf0) === 0x40) {
            this.rex = byte;
            continue prefixes;
          }
          break prefixes;
      }
      // A REX that is not the last prefix does not count.
      this.rex = 0;
    }
    this.addressSize = bits === 64
      ? (addressPrefix ? 32 : 64)
      : (bits === 32) !== addressPrefix
      ? 32
      : 16;
    const map = this.#opcode(byte);
    if (map < 0) return Decoding.undefined;
    const opcode = OPCODES[map * 256 + this.opcode];
    if (opcode === undefined) return Decoding.undefined;
    if (opcode.hasModrm) this.modrm = this.#byte();
    if (this.#at > this.#end) return Decoding.more;
    const variant = this.#select(opcode.variants, opcode.hasModrm);
    if (variant === undefined) return Decoding.undefined;
    this.entry = variant.entry;
    this.#setOperandSize(variant);
    if (opcode.hasModrm) this.#memoryOperand();
    this.#immediates();
    return this.#check();
  }

  /** Takes opcode bytes after the prefixes; the result is the map, or -1. */
  #opcode(first: number): number {
    this.opcode = first;
    if ((first === 0xc4 || first === 0xc5) && this.#isVex()) return this.#takeVex(first);
    if (first !== 0x0f) return OpcodeMap.oneByte;
    this.opcode = this.#byte();
    if (this.opcode !== 0x38 && this.opcode !== 0x3a) return OpcodeMap.map0F;
    const map = this.opcode === 0x38 ? OpcodeMap.map0F38 : OpcodeMap.map0F3A;
    this.opcode = this.#byte();
    return map;
  }

  /** Outside of 64-bit mode C4 and C5 are LES and LDS unless a register operand follows. */
  #isVex(): boolean {
    return this.#bits === 64 || this.#at < this.#end && this.#bytes[this.#at] >= 0xc0;
  }

  #takeVex(first: number): number {
    if (this.rex !== 0 || this.lock || this.repeat !== 0 || this.#operandPrefix) return -1;
    let map = 1;
    let last = this.#byte();
    // The bits R, X and B are inverted.
    this.rex = (last & 0x80) === 0 ? 4 : 0;
    if (first === 0xc4) {
      map = last & 0x1f;
      if ((last & 0x40) === 0) this.rex |= 2;
      if ((last & 0x20) === 0) this.rex |= 1;
      last = this.#byte();
      if ((last & 0x80) !== 0) this.rex |= 8;
    }
    if (this.#bits !== 64) this.rex &= 8;
    this.vvvv = ~last >> 3 & (this.#bits === 64 ? 15 : 7);
    // VEX.L must be 0 for the instructions on general registers.
    if ((last & 4) !== 0 || map < 1 || map > 3) return -1;
    const prefix = [0, 0x66, 0xf3, 0xf2][last & 3];
    this.#vex = true;
    this.#operandPrefix = prefix === 0x66;
    this.repeat = prefix === 0x66 ? 0 : prefix;
    this.opcode = this.#byte();
    return OpcodeMap.vex + map;
  }

  #select(variants: readonly Variant[], hasModrm: boolean): Variant | undefined {
    const prefix = this.repeat !== 0 ? this.repeat : this.#operandPrefix ? 0x66 : 0;
    const { modrm } = this;
    const mod = modrm >= 0xc0 ? "r" : "m";
    for (const variant of variants) {
      if (variant.prefix >= 0 && variant.prefix !== prefix) {
        // 66 F2 and 66 F3 select like F2 and F3.
        continue;
      }
      const { entry } = variant;
      if (hasModrm) {
        if (variant.modrm >= 0 && variant.modrm !== modrm) continue;
        if (variant.reg >= 0 && variant.reg !== (modrm >> 3 & 7)) continue;
        if (variant.mod !== "" && variant.mod !== mod) continue;
      }
      if (entry.only64 && this.#bits !== 64) continue;
      if (entry.invalid64 && this.#bits === 64) continue;
      if (entry.feature !== undefined && !this.#features.has(entry.feature)) continue;
      if (variant.prefix > 0 && variant.prefix !== 0x66) this.repeat = 0;
      return variant;
    }
    return undefined;
  }

  #setOperandSize({ entry, prefix }: Variant): void {
    const bits = this.#bits;
    // As a mandatory prefix, 66h says nothing about sizes, but for CRC32, MOVBE and RDRAND.
    const narrow = this.#operandPrefix && !(prefix === 0x66 && entry.size === "y");
    if (bits !== 64) {
      this.operandSize = (bits === 32) !== narrow ? 32 : 16;
      if (this.#vex) this.operandSize = 32;
      return;
    }
    if (this.#vex) this.operandSize = this.wide ? 64 : 32;
    else if (entry.forced64) this.operandSize = 64;
    else if (this.wide) this.operandSize = 64;
    else if (narrow) this.operandSize = 16;
    else this.operandSize = entry.default64 ? 64 : 32;
  }

  #memoryOperand(): void {
    const { modrm } = this;
    // Moves of control and debug registers take ModRM.mod as 3 whatever it is.
    if (modrm >= 0xc0 || this.entry.operands[1]?.kind === "C") return;
    this.hasMemory = true;
    if (this.addressSize === 16) return this.#memory16();
    const mod = modrm >> 6;
    let low = modrm & 7;
    let sib = 0;
    const hasSib = low === 4;
    if (hasSib) {
      sib = this.#byte();
      this.scale = sib >> 6;
      const index = (sib >> 3 & 7) | (this.rex & 2) << 2;
      this.index = index === 4 ? NO_REGISTER : index;
      low = sib & 7;
    }
    if (low === 5 && mod === 0) {
      this.base = !hasSib && this.#bits === 64 ? RIP_REGISTER : NO_REGISTER;
      this.displacement = this.#signed(4);
      return;
    }
    this.base = low | (this.rex & 1) << 3;
    if (mod !== 0) this.displacement = this.#signed(mod === 1 ? 1 : 4);
  }

  #memory16(): void {
    const mod = this.modrm >> 6;
    const low = this.modrm & 7;
    if (mod === 0 && low === 6) {
      this.displacement = this.#signed(2);
      return;
    }
    this.base = BASES_16[low];
    this.index = INDICES_16[low];
    if (mod !== 0) this.displacement = this.#signed(mod);
  }

  #signed(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= this.#byte() << (8 * i);
    const shift = 32 - bytes * 8;
    return value << shift >> shift;
  }

  #immediates(): void {
    for (const { kind, size } of this.entry.operands) {
      switch (kind) {
        case "1":
          this.immediate = 1;
          break;
        case "I":
        case "J":
          this.#setImmediate(this.#immediateBytes(size));
          break;
        case "O":
          this.#setImmediate(this.addressSize >> 3);
          break;
        case "A":
          this.immediate = this.#signed(this.operandSize === 16 ? 2 : 4);
          if (this.operandSize === 16) this.immediate &= 0xffff;
          this.immediateHigh = this.#signed(2) & 0xffff;
          break;
        case "Q": // ENTER: a word and a byte
          this.immediate = this.#signed(2) & 0xffff;
          this.immediateHigh = this.#byte();
          break;
      }
    }
  }

  #immediateBytes(size: string): number {
    switch (size) {
      case "b":
      case "s":
        return 1;
      case "w":
        return 2;
      case "v":
        return this.operandSize >> 3;
      default:
        return this.operandSize === 16 ? 2 : 4;
    }
  }

  #setImmediate(bytes: number): void {
    this.immediate = this.#signed(Math.min(bytes, 4));
    this.immediateHigh = bytes === 8 ? this.#signed(4) : this.immediate >> 31;
  }

  /** What can make an instruction undefined although its opcode exists. */
  #check(): Decoding {
    const { entry } = this;
    for (const { kind } of entry.operands) {
      if (kind === "M" && !this.hasMemory) return Decoding.undefined;
    }
    if (this.lock && !(entry.lockable && this.hasMemory && this.#memoryIsDestination())) {
      return Decoding.undefined;
    }
    switch (entry.name) {
      case "ud":
      case "ud0":
      case "ud1":
        return Decoding.undefined;
      case "movToSegment": // CS is not to be loaded; 6 and 7 do not exist
        return [0, 2, 3, 4, 5].includes(this.modrm >> 3 & 7) ? Decoding.ok : Decoding.undefined;
      case "movFromSegment":
        return (this.modrm >> 3 & 7) < 6 ? Decoding.ok : Decoding.undefined;
      case "movFromControl":
      case "movToControl":
        return [0, 2, 3, 4, 8].includes(this.reg) ? Decoding.ok : Decoding.undefined;
      case "movFromDebug":
      case "movToDebug":
        return this.reg < 8 ? Decoding.ok : Decoding.undefined;
      case "xchg":
        // XCHG of the accumulator with itself is NOP, which does not clear the upper half of RAX;
        // with REX.B it is an exchange with R8.
        return Decoding.ok;
      default:
        return Decoding.ok;
    }
  }

  #memoryIsDestination(): boolean {
    const first = this.entry.operands[0].kind;
    return first === "E" || first === "M";
  }
}
