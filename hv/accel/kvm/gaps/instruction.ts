/** Decodes as much of an instruction as is needed to carry out one that has a ModR/M byte. */

import type { StoppedCpu } from "./stopped_cpu.ts";

/** Longest instruction (SDM volume 2, 2.3.11), bytes. */
export const MAX_BYTES = 15;

/** Prefixes and opcode. */
export interface Opcode {
  /** The first opcode byte. */
  readonly opcode: number;
  /** Bytes before it. */
  readonly prefixes: number;
  /** 16 or 32 by default and 66h; 64 with REX.W. */
  readonly operandBits: 16 | 32 | 64;
  readonly addressBits: 16 | 32 | 64;
  readonly rex: number;
  readonly segment: SegmentName | undefined;
  /** LOCK or a repetition is there. */
  readonly hasLockOrRepeat: boolean;
}

/** A memory operand, or a register's number. */
export interface Operand {
  readonly register: number | undefined;
  /** Linear address; 0 for a register. */
  readonly linear: bigint;
  /** The ModR/M byte's reg field. */
  readonly reg: number;
  /** Bytes of ModR/M, SIB and displacement. */
  readonly length: number;
}

type SegmentName = "cs" | "ds" | "es" | "ss" | "fs" | "gs";
const SEGMENTS: Record<number, SegmentName> = {
  0x26: "es",
  0x2e: "cs",
  0x36: "ss",
  0x3e: "ds",
  0x64: "fs",
  0x65: "gs",
};
const REGISTERS = [
  ...["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] as const,
  ...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const,
];
/** Base and index of 16-bit addresses by r/m. */
const PAIRS = [
  ["rbx", "rsi"],
  ["rbx", "rdi"],
  ["rbp", "rsi"],
  ["rbp", "rdi"],
  ["rsi"],
  ["rdi"],
  ["rbp"],
  ["rbx"],
] as const;

/** Decodes prefixes and opcode; undefined when `code` ends before the opcode. */
export function decodeOpcode(cpu: StoppedCpu, code: Uint8Array): Opcode | undefined {
  const bits = cpu.codeBits;
  let [operand, address, lockOrRepeat] = [false, false, false];
  let segment: SegmentName | undefined;
  for (let at = 0; at < code.length; at++) {
    const byte = code[at];
    if (byte === 0x66) operand = true;
    else if (byte === 0x67) address = true;
    else if (byte === 0xf0 || byte === 0xf2 || byte === 0xf3) lockOrRepeat = true;
    else if (byte in SEGMENTS) segment = SEGMENTS[byte];
    else {
      const rex = bits === 64 && (byte & 0xf0) === 0x40 ? byte : 0;
      const prefixes = rex === 0 ? at : at + 1;
      if (prefixes >= code.length) return undefined;
      return {
        opcode: code[prefixes],
        prefixes,
        operandBits: (rex & 8) !== 0 ? 64 : operand === (bits !== 16) ? 16 : 32,
        addressBits: bits === 64 ? (address ? 32 : 64) : address === (bits === 32) ? 16 : 32,
        rex,
        segment,
        hasLockOrRepeat: lockOrRepeat,
      };
    }
  }
  return undefined;
}

/** Decodes the operand behind the opcode (SDM volume 2, 2.1.3 to 2.1.5 and 2.2.1). */
export function decodeOperand(
  cpu: StoppedCpu,
  code: Uint8Array,
  { prefixes, addressBits, rex, segment }: Opcode,
): Operand | undefined {
  const start = prefixes + 1;
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  if (start + 6 > code.length) return undefined;
  const modrm = code[start];
  const [mod, reg, rm] = [modrm >> 6, (modrm >> 3) & 7, modrm & 7];
  if (mod === 3) return { register: rm, linear: 0n, reg, length: 1 };
  const { regs } = cpu;
  let at = start + 1;
  let offset = 0n;
  let onStack = false;
  const displacement = (bytes: 1 | 2 | 4) => {
    offset += BigInt(
      bytes === 1
        ? view.getInt8(at)
        : bytes === 2
        ? view.getInt16(at, true)
        : view.getInt32(at, true),
    );
    at += bytes;
  };
  if (addressBits === 16) {
    if (mod === 0 && rm === 6) {
      displacement(2);
    } else {
      for (const name of PAIRS[rm]) offset += regs[name];
      onStack = rm === 2 || rm === 3 || rm === 6;
    }
    if (mod !== 0) displacement(mod === 1 ? 1 : 2);
  } else {
    let base = rm | ((rex & 1) << 3);
    let hasBase = true;
    if (rm === 4) {
      const sib = code[at++];
      const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
      base = (sib & 7) | ((rex & 1) << 3);
      if (index !== 4) offset += regs[REGISTERS[index]] << BigInt(sib >> 6);
      hasBase = mod !== 0 || (sib & 7) !== 5;
      if (!hasBase) displacement(4);
    } else if (mod === 0 && rm === 5) {
      hasBase = false;
      displacement(4);
      // Relative to the next instruction in 64-bit code.
      if (cpu.codeBits === 64) offset += regs.rip + BigInt(at);
    }
    if (hasBase) {
      offset += regs[REGISTERS[base]];
      onStack = base === 4 || base === 5;
    }
    if (mod !== 0) displacement(mod === 1 ? 1 : 4);
  }
  const { sregs } = cpu;
  const name = segment ?? (onStack ? "ss" : "ds");
  const flat = cpu.codeBits === 64 && name !== "fs" && name !== "gs";
  const linear = BigInt.asUintN(addressBits, offset) + (flat ? 0n : sregs[name].base);
  return {
    register: undefined,
    linear: BigInt.asUintN(cpu.codeBits === 64 ? 64 : 32, linear),
    reg,
    length: at - start,
  };
}
