/**
 * The part of a `Handler` (handler.ts) that reads and writes: values, registers, operands, memory by the
 * soft TLB, and the ways out of an instruction that does not succeed.
 */

import type { SseImport } from "../float/module.ts";
import { AT, TLB_ENTRIES, TLB_TABLE_BYTES } from "../state/state.ts";
import { Code, load, type Local, type MemoryRef } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { compareExchange } from "../wasm/atomics.ts";
import { I32, I64, type Type, type Value } from "../wasm/value.ts";
import { AddressKind, OP, SLOW_INTENT, SLOW_LOCKED, SLOW_WRITE, Status } from "./operation.ts";

/** Operand size in bits. */
export type Size = 8 | 16 | 32 | 64;

/** Functions and memories of the module that instructions use. */
export interface Environment {
  /** Private memory: state, TLB, blocks. */
  readonly state: MemoryRef;
  /** The machine's memory. */
  readonly guest: MemoryRef;
  /** (info) → status: the access of `slowAddress` that the TLB does not serve. */
  readonly slow: number;
  /** (call) → status: a service outside of generated code; see service_names.ts. */
  readonly service: number;
  /** (op, offset, info) → linear address, or -1 and an exception. */
  readonly segmented: number;
  /** (op, offset, info) → linear address of ES:rDI, or -1 and an exception. */
  readonly destined: number;
  /** (offset, info) → linear address in the stack segment, or -1 and an exception. */
  readonly stacked: number;
  /** (a, b) → high half of the unsigned product. */
  readonly multiplyHigh: number;
  /** PCMPESTRI's and its kin's, of bytes and words: see instructions/sse/string_compare.ts. */
  readonly compareBytes: number;
  readonly compareWords: number;
  /** () → status: goes on at `rip`. */
  readonly enter: number;
  /** Functions of float_sse, by name. */
  readonly floats: ReadonlyMap<SseImport, number>;
  /** Type of handlers: (op) → status. */
  readonly handlerType: number;
}

/** The type in which values of a size are computed. */
export const typeOf = (size: Size): Type => size === 64 ? I64 : I32;

const PAGE_MASK = -4096;
/** What stands for an address where there is none. */
export const FAULTED = -1;

/** See above. */
export class OperandHandler {
  readonly code: Code;
  readonly env: Environment;
  /** Size of the operation, bits. */
  readonly size: Size;
  /** One letter an operand: r register, m memory, i immediate. */
  readonly form: string;
  /** Address of the operation's record. */
  readonly op: Value;
  /** With LOCK: what is read to be written is exchanged for the result in one step, or all is done anew. */
  readonly locked: boolean;
  #linear: Value | undefined;
  #status: Local | undefined;
  /** With LOCK: what has been read. */
  #expected: Value | undefined;

  /** @param place Where the code goes and what operation it is for; default: a function of its own. */
  constructor(
    env: Environment,
    size: Size,
    form: string,
    locked = false,
    place?: { readonly code: Code; readonly op: Value },
  ) {
    this.env = env;
    this.size = size;
    this.form = form;
    this.locked = locked;
    this.code = place?.code ?? new Code([I32]);
    this.op = place?.op ?? this.code.parameter(0);
  }

  // --- values ---

  /** The type of values of this operation's size. */
  get type(): Type {
    return typeOf(this.size);
  }

  /** A constant of this operation's type. */
  constant(value: number | bigint): Value {
    return v.integer(this.type, value);
  }

  /** Puts a value that is used more than once into a variable. */
  let(value: Value): Value {
    return this.code.let(value);
  }

  /** Cuts a value to `size`: in an i32, 8 and 16 bits are zero-extended. */
  cut(value: Value, size: Size = this.size): Value {
    return size === 8
      ? v.and(value, v.i32(0xff))
      : size === 16
      ? v.and(value, v.i32(0xffff))
      : value;
  }

  /** A value of `size` bits to 64, sign-extended. */
  signed(value: Value, size: Size = this.size): Value {
    return size === 64 ? value : v.extendS(value, size);
  }

  /** A field of the state. */
  field(type: Type, bits: number, offset: number): Value {
    return load(this.env.state, type, bits, v.i32(0), offset);
  }

  setField(bits: number, offset: number, value: Value): void {
    this.code.store(this.env.state, bits, v.i32(0), value, offset);
  }

  /** A field of the operation's record. */
  opField(type: Type, bits: number, offset: number, isSigned = false): Value {
    return load(this.env.state, type, bits, this.op, offset, isSigned);
  }

  // --- registers ---

  /** General register `n`, as an operand of `size`. */
  register(n: number, size: Size): Value {
    return this.field(typeOf(size), size, AT.general + n * 8);
  }

  setRegister(n: number, value: Value, size: Size): void {
    if (size === 32) this.setField(64, AT.general + n * 8, v.extendU(value));
    else this.setField(size, AT.general + n * 8, value);
  }

  protected readAt(address: Value, size: Size): Value {
    return load(this.env.state, typeOf(size), size, address);
  }

  protected writeAt(address: Value, value: Value, size: Size): void {
    if (size === 32) this.code.store(this.env.state, 64, address, v.extendU(value));
    else this.code.store(this.env.state, size, address, value);
  }

  /** The low 32 bits of register operand `n`. */
  register32(n: number): Value {
    return this.let(this.readAt(this.registerOf(n), 32));
  }

  /** Where the register of operand `n` is named: the first in field a, the second in b, a third as base. */
  protected registerOf(n: number): Value {
    const before = [...this.form.slice(0, n)].filter((letter) => letter === "r").length;
    return this.opField(I32, 16, [OP.a, OP.b, OP.base][before]);
  }

  // --- operands ---

  /** Is operand `n` in memory? */
  inMemory(n: number): boolean {
    return this.form[n] === "m";
  }

  /** Operand `n`, in a variable. */
  read(n: number, size: Size = this.size): Value {
    switch (this.form[n]) {
      case "r":
        return this.let(this.readAt(this.registerOf(n), size));
      case "m":
        return this.loadMemory(this.linear(size >> 3, false), size);
      default: {
        const value = this.opField(I64, 64, OP.immediate);
        return this.let(size === 64 ? value : this.cut(v.wrap(value), size));
      }
    }
  }

  /** As `read`, of an operand that is written afterwards. */
  readForWrite(n: number, size: Size = this.size): Value {
    if (!this.inMemory(n)) return this.read(n, size);
    return this.loadMemory(this.linear(size >> 3, true), size, true);
  }

  write(n: number, value: Value, size: Size = this.size): void {
    if (this.inMemory(n)) this.storeMemory(this.linear(size >> 3, true), value, size);
    else this.writeAt(this.registerOf(n), value, size);
  }

  // --- memory ---

  /** Base + index * scale + displacement, 64 bits. */
  effectiveAddress(): Value {
    const register = (at: number) => this.readAt(this.opField(I32, 16, at), 64);
    const scaled = v.shl(register(OP.index), this.opField(I64, 8, OP.scale));
    return v.add(v.add(register(OP.base), scaled), this.opField(I64, 32, OP.displacement, true));
  }

  /** Linear address of the memory operand, checked against its segment; the same at every call. */
  linear(bytes: number, isWrite: boolean): Value {
    return this.#linear ??= this.linearOf(this.effectiveAddress(), bytes, isWrite);
  }

  /** Linear address of `offset` in the segment of the memory operand. */
  linearOf(offset: Value, bytes: number, isWrite: boolean): Value {
    const linear = this.code.unset(I64);
    this.code.set(linear, offset);
    const kind = this.opField(I32, 8, OP.kind);
    this.code.if(kind, () => {
      const info = v.i32(bytes | (isWrite ? SLOW_WRITE : 0));
      this.code.set(linear, v.call(this.env.segmented, I64, this.op, linear, info));
      const failed = v.and(
        v.eq(linear, v.i64(FAULTED)),
        v.gtU(kind, v.i32(AddressKind.based32)),
      );
      this.code.if(failed, () => this.leave(Status.exception));
    });
    return linear;
  }

  protected tlbEntry(linear: Value): Value {
    const index = v.and(v.wrap(v.shrU(linear, v.i64(8))), v.i32((TLB_ENTRIES - 1) * 16));
    return this.let(v.add(index, this.field(I32, 32, AT.tlb)));
  }

  protected hit(linear: Value, entry: Value, bytes: number, table: number): Value {
    const last = bytes === 1 ? linear : v.add(linear, v.i64(bytes - 1));
    return v.eq(v.and(last, v.i64(PAGE_MASK)), load(this.env.state, I64, 64, entry, table));
  }

  protected place(linear: Value, entry: Value, table: number): Value {
    return this.env.guest.wide
      ? v.add(linear, load(this.env.state, I64, 64, entry, table + 8))
      : v.add(v.wrap(linear), load(this.env.state, I32, 32, entry, table + 8));
  }

  /** What lies at a linear address, in a variable; `intent`: the same is written next. */
  loadMemory(linear: Value, size: Size, intent = false, flags = 0): Value {
    const type = typeOf(size);
    const bytes = size >> 3;
    const result = this.code.unset(type);
    const entry = this.tlbEntry(linear);
    const table = intent ? TLB_TABLE_BYTES : 0;
    this.code.if(this.hit(linear, entry, bytes, table), () => {
      this.code.set(result, load(this.env.guest, type, size, this.place(linear, entry, table)));
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.slow(bytes | (intent ? SLOW_INTENT : 0) | flags);
      this.code.set(result, this.field(type, size, AT.slowValue));
    });
    if (intent && this.locked) this.#expected = result;
    return result;
  }

  /** Writes the low `size` bits of `value` to a linear address. */
  storeMemory(linear: Value, value: Value, size: Size, flags = 0): void {
    const bytes = size >> 3;
    if (this.#expected !== undefined) return this.#exchange(linear, value, size, this.#expected);
    const entry = this.tlbEntry(linear);
    this.code.if(this.hit(linear, entry, bytes, TLB_TABLE_BYTES), () => {
      const place = this.place(linear, entry, TLB_TABLE_BYTES);
      this.code.store(this.env.guest, size, place, value);
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.setField(64, AT.slowValue, v.extendU(value));
      this.slow(bytes | SLOW_WRITE | flags);
    });
  }

  /**
   * The write of an instruction with LOCK. Nothing has been changed before it, so that it begins again
   * if others have written meanwhile; a guest cannot tell that from having come later.
   */
  #exchange(linear: Value, value: Value, size: Size, expected: Value): void {
    const bytes = size >> 3;
    const type = typeOf(size);
    const entry = this.tlbEntry(linear);
    const aligned = v.eqz(v.and(v.wrap(linear), v.i32(bytes - 1)));
    const direct = v.and(aligned, this.hit(linear, entry, bytes, TLB_TABLE_BYTES));
    this.code.if(direct, () => {
      const place = this.place(linear, entry, TLB_TABLE_BYTES);
      const before = compareExchange(this.env.guest, type, size, place, expected, value);
      this.code.if(v.ne(before, expected), () => this.goTo(this.op));
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.setField(64, AT.slowValue, v.extendU(value));
      this.setField(64, AT.slowExpected, v.extendU(expected));
      this.enterSlow();
      const status = this.#status ??= this.code.unset(I32);
      this.code.set(status, v.call(this.env.slow, I32, v.i32(bytes | SLOW_WRITE | SLOW_LOCKED)));
      this.code.if(v.eq(status, v.i32(Status.again)), () => this.goTo(this.op));
      this.code.if(status, () => this.leaveWith(status));
      this.afterWrite();
    });
  }

  protected slow(info: number): void {
    this.enterSlow();
    this.leaveUnlessOk(v.call(this.env.slow, I32, v.i32(info)));
    if ((info & SLOW_WRITE) !== 0) this.afterWrite();
  }

  /** Says which operation it is, before generated code may be left. */
  protected enterSlow(): void {
    this.setField(32, AT.op, this.op);
  }

  /** After a write that the soft TLB has not served. */
  protected afterWrite(): void {}

  protected leaveUnlessOk(status: Value): void {
    const local = this.#status ??= this.code.unset(I32);
    this.code.set(local, status);
    this.code.if(local, () => this.leaveWith(local));
  }

  /** Leaves generated code at this operation, which is known already. */
  protected leaveWith(status: Value): void {
    this.code.return(status);
  }

  // --- out of the instruction ---

  /** Leaves generated code at this operation. */
  leave(status: number): void {
    this.enterSlow();
    this.leaveWith(v.i32(status));
  }

  /** An exception of this instruction, without an error code or with one of 0. */
  raise(vector: number | Value, withError = false): void {
    this.setField(8, AT.exceptionVector, typeof vector === "number" ? v.i32(vector) : vector);
    this.setField(8, AT.exceptionHasError, v.i32(withError ? 1 : 0));
    this.setField(32, AT.exceptionError, v.i32(0));
    this.leave(Status.exception);
  }

  /** Lets service `number` (services.ts) do the instruction. */
  service(number: number): void {
    this.enterSlow();
    this.leaveUnlessOk(v.call(this.env.service, I32, v.i32(number)));
  }

  /** Lets service `number` find out which exception it is: there is one. */
  refuse(number: number): void {
    this.enterSlow();
    this.leaveWith(v.call(this.env.service, I32, v.i32(number)));
  }

  /** The operation whose record is at `op`. */
  goTo(op: Value): void {
    const entry = load(this.env.state, I32, 32, op, OP.handler);
    this.code.tailCallIndirect(this.env.handlerType, entry, op);
  }
}
