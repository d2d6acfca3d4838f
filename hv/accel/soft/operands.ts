/**
 * What services (services/) see of the operation that they carry out: where it is, its operands in
 * registers and memory, and the stack, each access checked as the processor does.
 */

import { readInteger, writeInteger } from "./memory/integers.ts";
import { isCanonical } from "./memory/linear_address.ts";
import { AddressKind, NOT_LONG, OP } from "./codegen/operation.ts";
import { fault, Vector } from "./events/faults.ts";
import type { LinearMemory } from "./memory/memory.ts";
import { Privilege } from "./memory/paging.ts";
import { AT, CodeSize, Seg, SEGMENT, segmentAt, type SoftState } from "./state/state.ts";

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** What a service is called with. */
export interface ServiceCall {
  /** Operand size in bits. */
  readonly size: number;
  readonly hasMemory: boolean;
}

/** See above: the part of the processor (cpu.ts) that knows operations. */
export abstract class Operands {
  abstract readonly state: SoftState;
  /** Memory 0. */
  abstract readonly data: DataView;
  abstract readonly memory: LinearMemory;

  get isLong64(): boolean {
    return (this.state.modeKey & 3) === CodeSize.bits64;
  }

  /** RIP of the operation that left generated code. */
  operationRip(): bigint {
    const { op, blockRip } = this.state;
    return this.cutRip(blockRip + BigInt(this.data.getUint16(op + OP.start, true)));
  }

  /** RIP after it. */
  nextRip(): bigint {
    const { op, blockRip } = this.state;
    return this.cutRip(blockRip + BigInt(this.data.getUint16(op + OP.end, true)));
  }

  /** A RIP cut to the size of code. */
  cutRip(rip: bigint): bigint {
    return this.isLong64 ? BigInt.asUintN(64, rip) : BigInt.asUintN(32, rip);
  }

  /** The operation's immediate, signed. */
  get immediate(): bigint {
    return this.data.getBigInt64(this.state.op + OP.immediate, true);
  }

  /** Where register operand `n` (0 or 1) of the operation lies in memory 0. */
  registerAt(n: number): number {
    return this.data.getUint16(this.state.op + (n === 0 ? OP.a : OP.b), true);
  }

  /** Value of the register at `at` in memory 0. */
  readRegister(at: number, size: number): bigint {
    return readInteger(this.data, at, size >> 3);
  }

  writeRegister(at: number, size: number, value: bigint): void {
    // The upper half of a register is cleared with the lower one written.
    if (size === 32) this.data.setBigUint64(at, value & 0xffff_ffffn, true);
    else writeInteger(this.data, at, size >> 3, value);
  }

  /** General register `n` of `size` bits. */
  general(n: number, size: number): bigint {
    return this.readRegister(AT.general + n * 8, size);
  }

  setGeneral(n: number, size: number, value: bigint): void {
    this.writeRegister(AT.general + n * 8, size, value);
  }

  /** An operand in a register (field a) or in memory. */
  readOperand({ hasMemory }: ServiceCall, size: number): bigint {
    return hasMemory
      ? this.readData(this.operandLinear(size >> 3, false), size >> 3)
      : this.readRegister(this.registerAt(0), size);
  }

  writeOperand({ hasMemory }: ServiceCall, size: number, value: bigint): void {
    if (hasMemory) this.writeData(this.operandLinear(size >> 3, true), size >> 3, value);
    else this.writeRegister(this.registerAt(0), size, value);
  }

  /** Linear address of the memory operand plus `distance`, checked for `bytes`. */
  operandLinear(bytes: number, isWrite: boolean, distance = 0n): bigint {
    return this.memoryLinear(this.operandOffset() + distance, bytes, isWrite);
  }

  /** Offset of the memory operand in its segment. */
  operandOffset(): bigint {
    const { data, state: { op } } = this;
    const register = (field: number) => data.getBigUint64(data.getUint16(op + field, true), true);
    const scale = BigInt(data.getUint8(op + OP.scale) & 3);
    return register(OP.base) + (register(OP.index) << scale) +
      BigInt(data.getInt32(op + OP.displacement, true));
  }

  /** As `memoryLinear`, without the bounds (INVLPG). */
  memoryLinearUnchecked(offset: bigint): bigint {
    const { data, state: { op } } = this;
    const base = data.getBigUint64(data.getUint16(op + OP.segment, true) + SEGMENT.base, true);
    const kind = data.getUint8(op + OP.kind);
    if (kind <= AddressKind.based) {
      return BigInt.asUintN(64, kind === AddressKind.based ? offset + base : offset);
    }
    const cut = offset & (kind === AddressKind.segment16 ? 0xffffn : 0xffff_ffffn);
    return kind === AddressKind.based32
      ? BigInt.asUintN(64, cut + base)
      : cut + base & 0xffff_ffffn;
  }

  /** Linear address of `offset` by the operation's segment and address size. */
  memoryLinear(offset: bigint, bytes: number, isWrite: boolean, segment?: number): bigint {
    const { data, state: { op } } = this;
    const kind = data.getUint8(op + OP.kind);
    const at = segment ?? data.getUint16(op + OP.segment, true);
    const base = () => data.getBigUint64(at + SEGMENT.base, true);
    switch (kind) {
      case AddressKind.plain:
        return this.#canonical(offset, at === segmentAt(Seg.ss));
      case AddressKind.based:
        return this.#canonical(offset + base(), false);
      case AddressKind.based32:
        return this.#canonical((offset & 0xffff_ffffn) + base(), false);
      case AddressKind.segment16:
        return this.segmentLinear(at, offset & 0xffffn, bytes, isWrite);
      default:
        return this.segmentLinear(at, offset & 0xffff_ffffn, bytes, isWrite);
    }
  }

  #canonical(address: bigint, stack: boolean): bigint {
    const linear = BigInt.asUintN(64, address);
    if (!isCanonical(linear)) {
      fault(this.state, stack ? Vector.stackFault : Vector.generalProtection, 0);
    }
    return linear;
  }

  /** Linear address of `offset` in the segment whose record is at `at`, or #GP(0) or #SS(0). */
  segmentLinear(at: number, offset: bigint, bytes: number, isWrite: boolean): bigint {
    const { data } = this;
    const low = data.getBigUint64(at + (isWrite ? SEGMENT.writeLow : SEGMENT.readLow), true);
    const high = data.getBigUint64(at + (isWrite ? SEGMENT.writeHigh : SEGMENT.readHigh), true);
    if (offset < low || offset + BigInt(bytes - 1) > high) {
      const stack = at === segmentAt(Seg.ss);
      fault(this.state, stack ? Vector.stackFault : Vector.generalProtection, 0);
    }
    return offset + data.getBigUint64(at + SEGMENT.base, true) & 0xffff_ffffn;
  }

  /** Is the operation's code other than 64-bit? */
  get operationNotLong(): boolean {
    return (this.data.getUint8(this.state.op + OP.scale) & NOT_LONG) !== 0;
  }

  /** Who reads and writes for the current instruction. */
  get privilege(): Privilege {
    return this.state.cpl === 3 ? Privilege.user : Privilege.supervisor;
  }

  readData(linear: bigint, bytes: number): bigint {
    return this.memory.read(linear, bytes, this.privilege);
  }

  writeData(linear: bigint, bytes: number, value: bigint): void {
    this.memory.write(linear, bytes, value, this.privilege);
  }

  // --- the stack ---

  /** Linear address `distance` bytes from the stack pointer, checked for `bytes`. */
  stackLinear(distance: number, bytes: number, isWrite: boolean): bigint {
    const { state } = this;
    const offset = state.general[4] + BigInt(distance) & state.stackMask;
    if (this.isLong64) return offset;
    return this.segmentLinear(segmentAt(Seg.ss), offset, bytes, isWrite);
  }

  /** Changes the part of RSP that the stack's size covers. */
  moveStack(bytes: number): void {
    const { state } = this;
    const mask = state.stackMask;
    const pointer = state.general[4];
    state.general[4] = pointer & ~mask & ALL_ONES | pointer + BigInt(bytes) & mask;
  }

  push(value: bigint, bytes: number): void {
    const linear = this.stackLinear(-bytes, bytes, true);
    this.memory.write(linear, bytes, value, this.privilege, true);
    this.moveStack(-bytes);
  }

  /** What is `distance` bytes above the stack pointer. */
  peek(distance: number, bytes: number): bigint {
    const linear = this.stackLinear(distance, bytes, false);
    return this.memory.read(linear, bytes, this.privilege, true);
  }
}
