/**
 * A small assembler for 16-bit x86 code: labels, fixups, and the instructions that the firmware's
 * stubs consist of. It encodes as NASM does with its default optimisation, so that listings compare.
 *
 * Sizes are explicit: memory operands are made by `byte()`, `word()` or `dword()`. Mistakes (unknown
 * labels, jumps too far, sizes that differ) throw when the code is assembled: they are the author's.
 *
 * Reference: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
 */

import { CodeBuffer } from "./code.ts";
import {
  type Immediate,
  LabelOffset,
  Memory,
  type Register,
  type RegisterInfo,
  registerInfo,
  segmentNumber,
  type SegmentRegister,
} from "./operands.ts";

export { byte, dword, offset, word } from "./operands.ts";

const CONDITIONS = [
  ["o"],
  ["no"],
  ["c", "b"],
  ["nc", "ae"],
  ["z", "e"],
  ["nz", "ne"],
  ["be"],
  ["a"],
  ["s"],
  ["ns"],
  ["p"],
  ["np"],
  ["l"],
  ["ge"],
  ["le"],
  ["g"],
];
const ALU = { add: 0, or: 1, adc: 2, sbb: 3, and: 4, sub: 5, xor: 6, cmp: 7 };

/** See above. */
export class Assembler extends CodeBuffer {
  /** MOV between registers, segment registers, memory and immediates. */
  mov(
    to: Register | SegmentRegister | Memory,
    from: Register | SegmentRegister | Memory | Immediate,
  ) {
    if (segmentNumber(to) >= 0) return this.modrm([0x8e], segmentNumber(to), from, 2);
    if (segmentNumber(from) >= 0) return this.modrm([0x8c], segmentNumber(from), to, 2);
    const target = registerInfo(to as string);
    if (typeof from === "number" || from instanceof LabelOffset) {
      if (target !== undefined) {
        this.operandSize(target.size);
        this.emit((target.size === 1 ? 0xb0 : 0xb8) + target.number);
        return this.emitImmediate(from, target.size);
      }
      const { size } = to as Memory;
      this.modrm([size === 1 ? 0xc6 : 0xc7], 0, to, size);
      return this.emitImmediate(from, size);
    }
    const source = registerInfo(from as string);
    const wide = (info: RegisterInfo) => info.size === 1 ? 0 : 1;
    if (source !== undefined) {
      if (source.number === 0 && to instanceof Memory && to.base === undefined) {
        return this.moffs(0xa2 + wide(source), to, source.size);
      }
      return this.modrm([0x88 + wide(source)], source.number, to, source.size);
    }
    if (target === undefined) throw new Error("Cannot encode mov: it needs a register");
    if (target.number === 0 && from instanceof Memory && from.base === undefined) {
      return this.moffs(0xa0 + wide(target), from, target.size);
    }
    this.modrm([0x8a + wide(target)], target.number, from, target.size);
  }

  /** ADD, OR, ADC, SBB, AND, SUB, XOR or CMP. */
  alu(
    operation: keyof typeof ALU,
    to: Register | Memory,
    from: Register | Memory | Immediate,
  ): void {
    const code = ALU[operation];
    const target = registerInfo(to as string);
    if (typeof from === "number" || from instanceof LabelOffset) {
      const size = target?.size ?? (to as Memory).size;
      const short = size > 1 && typeof from === "number" && from >= -128 && from <= 127;
      if (!short && target?.number === 0) {
        this.operandSize(size);
        this.emit(code * 8 + (size === 1 ? 4 : 5));
      } else this.modrm([size === 1 ? 0x80 : short ? 0x83 : 0x81], code, to, size);
      return short ? this.emit(from as number) : this.emitImmediate(from, size);
    }
    const source = registerInfo(from as string);
    if (source !== undefined) {
      return this.modrm([code * 8 + (source.size === 1 ? 0 : 1)], source.number, to, source.size);
    }
    if (target === undefined) throw new Error(`Cannot encode ${operation}: it needs a register`);
    this.modrm([code * 8 + (target.size === 1 ? 2 : 3)], target.number, from, target.size);
  }

  /** TEST with a register or an immediate. */
  test(to: Register | Memory, from: Register | Immediate): void {
    if (typeof from === "string") {
      const source = registerInfo(from)!;
      return this.modrm([source.size === 1 ? 0x84 : 0x85], source.number, to, source.size);
    }
    const target = registerInfo(to as string);
    const size = target?.size ?? (to as Memory).size;
    if (target?.number === 0) {
      this.operandSize(size);
      this.emit(size === 1 ? 0xa8 : 0xa9);
    } else this.modrm([size === 1 ? 0xf6 : 0xf7], 0, to, size);
    this.emitImmediate(from, size);
  }

  /** INC. */
  inc(to: Register | Memory): void {
    this.#incDec(to, 0x40, 0);
  }

  /** DEC. */
  dec(to: Register | Memory): void {
    this.#incDec(to, 0x48, 1);
  }

  /** NEG. */
  neg(to: Register | Memory): void {
    const size = registerInfo(to as string)?.size ?? (to as Memory).size;
    this.modrm([size === 1 ? 0xf6 : 0xf7], 3, to, size);
  }

  /** SHL by a constant. */
  shl(to: Register | Memory, count: number): void {
    this.#shift(4, to, count);
  }

  /** SHR by a constant. */
  shr(to: Register | Memory, count: number): void {
    this.#shift(5, to, count);
  }

  /** XCHG of two registers, or a register and memory. */
  xchg(to: Register | Memory, from: Register): void {
    const source = registerInfo(from)!;
    const target = registerInfo(to as string);
    if (source.size > 1 && target?.number === 0) {
      this.operandSize(source.size);
      return this.emit(0x90 + source.number);
    }
    this.modrm([source.size === 1 ? 0x86 : 0x87], source.number, to, source.size);
  }

  /** PUSH of a register, segment register, word or doubleword in memory, or 16-bit immediate. */
  push(from: Register | SegmentRegister | Memory | Immediate): void {
    const segment = segmentNumber(from);
    if (segment >= 4) return this.db(0x0f, 0x80 + segment * 8);
    if (segment >= 0) return this.emit(0x06 + segment * 8);
    if (from instanceof Memory) return this.modrm([0xff], 6, from, from.size);
    if (typeof from === "string") return this.#pushPop(0x50, from);
    if (typeof from === "number" && from >= -128 && from <= 127) return this.db(0x6a, from);
    this.emit(0x68);
    this.emitWord(from as Immediate);
  }

  /** POP. */
  pop(to: Register | SegmentRegister | Memory): void {
    const segment = segmentNumber(to);
    if (segment >= 4) return this.db(0x0f, 0x81 + segment * 8);
    if (segment >= 0) return this.emit(0x07 + segment * 8);
    if (to instanceof Memory) return this.modrm([0x8f], 0, to, to.size);
    this.#pushPop(0x58, to as string);
  }

  /** IN from a port 0-255 or from DX. */
  in(to: "al" | "ax" | "eax", port: number | "dx"): void {
    this.#inOut(0xe4, to, port);
  }

  /** OUT to a port 0-255 or to DX. */
  out(port: number | "dx", from: "al" | "ax" | "eax"): void {
    this.#inOut(0xe6, from, port);
  }

  /** INT n. */
  int(vector: number): void {
    this.db(0xcd, vector);
  }

  /** JMP near to a label. */
  jmp(label: string): void {
    this.emit(0xe9);
    this.refer(label, "relative16");
  }

  /** JMP short to a label. */
  jmpShort(label: string): void {
    this.emit(0xeb);
    this.refer(label, "relative8");
  }

  /** JMP far to a constant segment:offset. */
  jmpFar(segment: number, target: Immediate): void {
    this.emit(0xea);
    this.emitWord(target);
    this.emitWord(segment);
  }

  /** JMP far through a pointer in memory. */
  jmpFarThrough(pointer: Memory): void {
    this.modrm([0xff], 5, pointer, 2, true);
  }

  /** CALL near to a label. */
  call(label: string): void {
    this.emit(0xe8);
    this.refer(label, "relative16");
  }

  /** CALL far through a pointer in memory. */
  callFarThrough(pointer: Memory): void {
    this.modrm([0xff], 3, pointer, 2, true);
  }

  /** Jcc short, by condition: "z", "nz", "c", "nc", "b", "ae", … */
  jcc(condition: string, label: string): void {
    const code = CONDITIONS.findIndex((names) => names.includes(condition));
    if (code < 0) throw new Error(`Cannot encode j${condition}: there is no such condition`);
    this.emit(0x70 + code);
    this.refer(label, "relative8");
  }

  /** LOOP short to a label. */
  loop(label: string): void {
    this.emit(0xe2);
    this.refer(label, "relative8");
  }

  /** LGDT from memory. */
  lgdt(from: Memory): void {
    this.modrm([0x0f, 0x01], 2, from, 2, true);
  }

  /** LIDT from memory. */
  lidt(from: Memory): void {
    this.modrm([0x0f, 0x01], 3, from, 2, true);
  }

  nop = () => this.emit(0x90);
  pusha = () => this.emit(0x60);
  popa = () => this.emit(0x61);
  pushf = () => this.emit(0x9c);
  popf = () => this.emit(0x9d);
  ret = () => this.emit(0xc3);
  retf = () => this.emit(0xcb);
  iret = () => this.emit(0xcf);
  hlt = () => this.emit(0xf4);
  cmc = () => this.emit(0xf5);
  clc = () => this.emit(0xf8);
  stc = () => this.emit(0xf9);
  cli = () => this.emit(0xfa);
  sti = () => this.emit(0xfb);
  cld = () => this.emit(0xfc);
  std = () => this.emit(0xfd);
  rep = () => this.emit(0xf3);
  lodsb = () => this.emit(0xac);
  lodsw = () => this.emit(0xad);
  stosb = () => this.emit(0xaa);
  stosw = () => this.emit(0xab);
  movsb = () => this.emit(0xa4);
  movsw = () => this.emit(0xa5);
  pause = () => this.db(0xf3, 0x90);
  cpuid = () => this.db(0x0f, 0xa2);
  rdtsc = () => this.db(0x0f, 0x31);
  wbinvd = () => this.db(0x0f, 0x09);
  /** MOV EAX, CR0. */
  movEaxCr0 = () => this.db(0x0f, 0x20, 0xc0);
  /** MOV CR0, EAX. */
  movCr0Eax = () => this.db(0x0f, 0x22, 0xc0);

  #incDec(to: Register | Memory, shortForm: number, field: number): void {
    const info = registerInfo(to as string);
    if (info !== undefined && info.size > 1) {
      this.operandSize(info.size);
      return this.emit(shortForm + info.number);
    }
    const size = info?.size ?? (to as Memory).size;
    this.modrm([size === 1 ? 0xfe : 0xff], field, to, size);
  }

  #shift(field: number, to: Register | Memory, count: number): void {
    const size = registerInfo(to as string)?.size ?? (to as Memory).size;
    this.modrm([(size === 1 ? 0xd0 : 0xd1) - (count === 1 ? 0 : 0x10)], field, to, size);
    if (count !== 1) this.emit(count);
  }

  #pushPop(shortForm: number, name: string): void {
    const info = registerInfo(name);
    if (info === undefined || info.size === 1) throw new Error(`Cannot push or pop ${name}`);
    this.operandSize(info.size);
    this.emit(shortForm + info.number);
  }

  #inOut(opcode: number, register: "al" | "ax" | "eax", port: number | "dx"): void {
    const { size } = registerInfo(register)!;
    this.operandSize(size);
    const wide = size === 1 ? 0 : 1;
    if (port === "dx") this.emit(opcode + 8 + wide);
    else this.db(opcode + wide, port);
  }
}
