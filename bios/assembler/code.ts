/**
 * The assembler's output: an image with labels, and how operands are encoded in it.
 *
 * Reference: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2.
 */

import { alignUp } from "../../hv/core/align.ts";
import {
  BASES,
  type Immediate,
  LabelOffset,
  Memory,
  registerInfo,
  SEGMENT_PREFIX,
} from "./operands.ts";

interface Fixup {
  readonly at: number;
  readonly name: string;
  readonly addend: number;
  readonly kind: "word" | "relative8" | "relative16";
}

/** See above. Offset 0 of the image is offset 0 of the code segment. */
export class CodeBuffer {
  /** The image; what was not emitted is zero. */
  readonly image: Uint8Array;
  readonly #labels = new Map<string, number>();
  readonly #fixups: Fixup[] = [];
  #at = 0;

  /** @param length Bytes of the image, at most 65536. */
  constructor(length: number) {
    this.image = new Uint8Array(length);
  }

  /** Offset of the next byte. */
  get here(): number {
    return this.#at;
  }

  /** Goes on at `position`, forwards or backwards. */
  org(position: number): void {
    this.#at = position;
  }

  /** Goes on at the next multiple of `alignment`. */
  align(alignment: number): void {
    this.#at = alignUp(this.#at, alignment);
  }

  /** Names this place. */
  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`Cannot define label ${name} twice`);
    this.#labels.set(name, this.#at);
  }

  /** Offset of a label that has been defined. */
  offsetOf(name: string): number {
    const position = this.#labels.get(name);
    if (position === undefined) throw new Error(`Cannot find label ${name}: it is not defined`);
    return position;
  }

  /** Fills in every reference to a label; call it once, at the end. */
  link(): void {
    for (const { at, name, addend, kind } of this.#fixups) {
      const target = this.offsetOf(name) + addend;
      if (kind === "word") this.#putWord(at, target);
      else if (kind === "relative16") this.#putWord(at, target - (at + 2));
      else {
        const distance = target - (at + 1);
        if (distance < -128 || distance > 127) {
          throw new Error(`Cannot jump ${distance} bytes to ${name} with a short jump`);
        }
        this.image[at] = distance;
      }
    }
    this.#fixups.length = 0;
  }

  /** Bytes as they are; strings give their Latin-1 codes. */
  db(...values: (number | string | ArrayLike<number>)[]): void {
    for (const value of values) {
      if (typeof value === "number") this.emit(value);
      else if (typeof value === "string") {
        for (let i = 0; i < value.length; i++) this.emit(value.charCodeAt(i));
      } else for (let i = 0; i < value.length; i++) this.emit(value[i]);
    }
  }

  /** Little-endian words. */
  dw(...values: Immediate[]): void {
    for (const value of values) this.emitWord(value);
  }

  /** Little-endian doublewords. */
  dd(...values: number[]): void {
    for (const value of values) this.db(value, value >>> 8, value >>> 16, value >>> 24);
  }

  /** A byte. */
  protected emit(value: number): void {
    if (this.#at >= this.image.length) throw new Error("Cannot emit: the image is full");
    this.image[this.#at++] = value;
  }

  /** A word: a number, or a place to be filled in. */
  protected emitWord(value: Immediate): void {
    if (value instanceof LabelOffset) return this.refer(value.name, "word", value.addend);
    this.db(value, value >> 8);
  }

  /** A constant of `size` bytes. */
  protected emitImmediate(value: Immediate, size: number): void {
    if (size === 2) return this.emitWord(value);
    if (value instanceof LabelOffset) throw new Error("Cannot use a label in a byte or doubleword");
    if (size === 1) this.emit(value);
    else this.dd(value);
  }

  #putWord(at: number, value: number): void {
    this.image[at] = value;
    this.image[at + 1] = value >> 8;
  }

  /** A reference to a label, to be filled in by `link`. */
  protected refer(name: string, kind: Fixup["kind"], addend = 0): void {
    this.#fixups.push({ at: this.#at, name, addend, kind });
    for (let i = kind === "relative8" ? 1 : 2; i > 0; i--) this.emit(0);
  }

  /** The prefix of 32-bit operands. */
  protected operandSize(size: number): void {
    if (size === 4) this.emit(0x66);
  }

  /** An instruction between the accumulator and memory at a constant address. */
  protected moffs(
    opcode: number,
    { segment, displacement, size }: Memory,
    registerSize: number,
  ): void {
    if (size !== registerSize) throw new Error("Cannot encode mov: the sizes differ");
    if (segment !== undefined) this.emit(SEGMENT_PREFIX[segment]);
    this.operandSize(size);
    this.emit(opcode);
    this.emitWord(displacement);
  }

  /** Prefixes, opcode, ModR/M byte and displacement; `anySize` for pointers and table registers. */
  protected modrm(
    opcode: number[],
    field: number,
    operand: unknown,
    size: number,
    anySize = false,
  ): void {
    if (operand instanceof Memory) {
      if (!anySize && operand.size !== size) throw new Error("Cannot encode: the sizes differ");
      const { segment, base, displacement } = operand;
      if (segment !== undefined) this.emit(SEGMENT_PREFIX[segment]);
      this.operandSize(size);
      this.db(...opcode);
      const constant = displacement instanceof LabelOffset ? undefined : displacement;
      if (base === undefined) this.emit(field * 8 + 6);
      else if (constant === 0 && base !== "bp") return this.emit(field * 8 + BASES.indexOf(base));
      else if (constant !== undefined && constant >= -128 && constant <= 127) {
        return this.db(0x40 + field * 8 + BASES.indexOf(base), constant);
      } else this.emit(0x80 + field * 8 + BASES.indexOf(base));
      return this.emitWord(displacement);
    }
    const info = registerInfo(operand as string);
    if (info === undefined) throw new Error(`Cannot encode operand ${operand}`);
    if (info.size !== size) throw new Error("Cannot encode: the sizes differ");
    this.operandSize(size);
    this.db(...opcode, 0xc0 + field * 8 + info.number);
  }
}
