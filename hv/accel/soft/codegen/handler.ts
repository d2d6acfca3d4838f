/**
 * What an instruction's meaning is written against: operands, memory, flags, control flow. An
 * instruction is written once, as a function over a `Handler`; this class makes the interpreter's
 * function of it, in which operands are found through the operation's record. The translating tier
 * will give the same functions operands that are known.
 *
 * Every operand is read before anything is changed, and memory is written before registers and
 * flags are: an access that faults leaves the function with nothing done.
 */

import type { SseImport } from "../float80_module.ts";
import { AT, SEGMENT, TLB_ENTRIES, TLB_TABLE_BYTES, vectorAt } from "../state.ts";
import { Code, load, type Local, type MemoryRef } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { compareExchange } from "../wasm/atomics.ts";
import { loadVector, storeVector } from "../wasm/simd.ts";
import { I32, I64, type Type, V128, type Value } from "../wasm/value.ts";
import {
  AddressKind,
  NOT_LONG,
  OP,
  OP_BYTES,
  SLOW_INTENT,
  SLOW_LOCKED,
  SLOW_STACK,
  SLOW_WRITE,
  Status,
} from "./operation.ts";

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
const FAULTED = -1;

/** See above. */
export class Handler {
  readonly code: Code = new Code([I32]);
  readonly env: Environment;
  /** Size of the operation, bits. */
  readonly size: Size;
  /** One letter an operand: r register, m memory, i immediate. */
  readonly form: string;
  /** Address of the operation's record. */
  readonly op: Local;
  /** With LOCK: what is read to be written is exchanged for the result in one step, or all is done anew. */
  readonly locked: boolean;
  #linear: Value | undefined;
  #status: Local | undefined;
  /** With LOCK: what has been read. */
  #expected: Value | undefined;

  constructor(env: Environment, size: Size, form: string, locked = false) {
    this.env = env;
    this.size = size;
    this.form = form;
    this.locked = locked;
    this.op = this.code.parameter(0);
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

  #readAt(address: Value, size: Size): Value {
    return load(this.env.state, typeOf(size), size, address);
  }

  #writeAt(address: Value, value: Value, size: Size): void {
    if (size === 32) this.code.store(this.env.state, 64, address, v.extendU(value));
    else this.code.store(this.env.state, size, address, value);
  }

  /** The low 32 bits of register operand `n`. */
  register32(n: number): Value {
    return this.let(this.#readAt(this.#registerOf(n), 32));
  }

  /** Where the register of operand `n` is named: the first in field a, the second in b, a third as base. */
  #registerOf(n: number): Value {
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
        return this.let(this.#readAt(this.#registerOf(n), size));
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
    else this.#writeAt(this.#registerOf(n), value, size);
  }

  // --- memory ---

  /** Base + index * scale + displacement, 64 bits. */
  effectiveAddress(): Value {
    const register = (at: number) => load(this.env.state, I64, 64, this.opField(I32, 16, at));
    const scaled = v.shl(register(OP.index), this.opField(I64, 8, OP.scale));
    return v.add(v.add(register(OP.base), scaled), this.opField(I64, 32, OP.displacement, true));
  }

  /** Linear address of the memory operand, checked against its segment; the same at every call. */
  linear(bytes: number, isWrite: boolean): Value {
    return this.#linear ??= this.linearOf(this.effectiveAddress(), bytes, isWrite);
  }

  /** Linear address of `offset` in the segment of the memory operand. */
  linearOf(offset: Value, bytes: number, isWrite: boolean): Value {
    const linear = this.code.local(I64);
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

  #tlbEntry(linear: Value): Value {
    const index = v.and(v.wrap(v.shrU(linear, v.i64(8))), v.i32((TLB_ENTRIES - 1) * 16));
    return this.let(v.add(index, this.field(I32, 32, AT.tlb)));
  }

  #hit(linear: Value, entry: Value, bytes: number, table: number): Value {
    const last = bytes === 1 ? linear : v.add(linear, v.i64(bytes - 1));
    return v.eq(v.and(last, v.i64(PAGE_MASK)), load(this.env.state, I64, 64, entry, table));
  }

  #place(linear: Value, entry: Value, table: number): Value {
    return this.env.guest.wide
      ? v.add(linear, load(this.env.state, I64, 64, entry, table + 8))
      : v.add(v.wrap(linear), load(this.env.state, I32, 32, entry, table + 8));
  }

  /** What lies at a linear address, in a variable; `intent`: the same is written next. */
  loadMemory(linear: Value, size: Size, intent = false, flags = 0): Value {
    const type = typeOf(size);
    const bytes = size >> 3;
    const result = this.code.local(type);
    const entry = this.#tlbEntry(linear);
    const table = intent ? TLB_TABLE_BYTES : 0;
    this.code.if(this.#hit(linear, entry, bytes, table), () => {
      this.code.set(result, load(this.env.guest, type, size, this.#place(linear, entry, table)));
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.#slow(bytes | (intent ? SLOW_INTENT : 0) | flags);
      this.code.set(result, this.field(type, size, AT.slowValue));
    });
    if (intent && this.locked) this.#expected = result;
    return result;
  }

  /** Writes the low `size` bits of `value` to a linear address. */
  storeMemory(linear: Value, value: Value, size: Size, flags = 0): void {
    const bytes = size >> 3;
    if (this.#expected !== undefined) return this.#exchange(linear, value, size, this.#expected);
    const entry = this.#tlbEntry(linear);
    this.code.if(this.#hit(linear, entry, bytes, TLB_TABLE_BYTES), () => {
      const place = this.#place(linear, entry, TLB_TABLE_BYTES);
      this.code.store(this.env.guest, size, place, value);
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.setField(64, AT.slowValue, v.extendU(value));
      this.#slow(bytes | SLOW_WRITE | flags);
    });
  }

  /**
   * The write of an instruction with LOCK. Nothing has been changed before it, so that it begins again
   * if others have written meanwhile; a guest cannot tell that from having come later.
   */
  #exchange(linear: Value, value: Value, size: Size, expected: Value): void {
    const bytes = size >> 3;
    const type = typeOf(size);
    const entry = this.#tlbEntry(linear);
    const aligned = v.eqz(v.and(v.wrap(linear), v.i32(bytes - 1)));
    const direct = v.and(aligned, this.#hit(linear, entry, bytes, TLB_TABLE_BYTES));
    this.code.if(direct, () => {
      const place = this.#place(linear, entry, TLB_TABLE_BYTES);
      const before = compareExchange(this.env.guest, type, size, place, expected, value);
      this.code.if(v.ne(before, expected), () => this.goTo(this.op));
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.setField(64, AT.slowValue, v.extendU(value));
      this.setField(64, AT.slowExpected, v.extendU(expected));
      this.setField(32, AT.op, this.op);
      const status = this.#status ??= this.code.local(I32);
      this.code.set(status, v.call(this.env.slow, I32, v.i32(bytes | SLOW_WRITE | SLOW_LOCKED)));
      this.code.if(v.eq(status, v.i32(Status.again)), () => this.goTo(this.op));
      this.code.if(status, () => this.code.return(status));
    });
  }

  #slow(info: number): void {
    this.setField(32, AT.op, this.op);
    this.#leaveUnlessOk(v.call(this.env.slow, I32, v.i32(info)));
  }

  #leaveUnlessOk(status: Value): void {
    const local = this.#status ??= this.code.local(I32);
    this.code.set(local, status);
    this.code.if(local, () => this.code.return(local));
  }

  // --- vectors ---

  /** Vector operand `n`, 16 bytes; in memory, `aligned` gives #GP(0) unless it is. */
  readVector(n: number, aligned: boolean): Value {
    const result = this.code.local(V128);
    if (!this.inMemory(n)) {
      this.code.set(result, loadVector(this.env.state, this.#registerOf(n)));
      return result;
    }
    const linear = this.linear(16, false);
    if (aligned) this.#requireAligned(linear);
    const entry = this.#tlbEntry(linear);
    this.code.if(this.#hit(linear, entry, 16, 0), () => {
      this.code.set(result, loadVector(this.env.guest, this.#place(linear, entry, 0)));
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.#slow(16);
      this.code.set(result, loadVector(this.env.state, v.i32(0), AT.slowValue));
    });
    return result;
  }

  /** Writes a vector operand; see `readVector`. */
  writeVector(n: number, value: Value, aligned: boolean): void {
    if (!this.inMemory(n)) {
      storeVector(this.code, this.env.state, this.#registerOf(n), value);
      return;
    }
    const linear = this.linear(16, true);
    if (aligned) this.#requireAligned(linear);
    const entry = this.#tlbEntry(linear);
    this.code.if(this.#hit(linear, entry, 16, TLB_TABLE_BYTES), () => {
      const place = this.#place(linear, entry, TLB_TABLE_BYTES);
      storeVector(this.code, this.env.guest, place, value);
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      storeVector(this.code, this.env.state, v.i32(0), value, AT.slowValue);
      this.#slow(16 | SLOW_WRITE);
    });
  }

  /** The low 32 or 64 bits of vector register operand `n`; the others stay. */
  writeLane(n: number, value: Value, size: 32 | 64): void {
    this.code.store(this.env.state, size, this.#registerOf(n), value);
  }

  /** `size` bits at byte `place` of vector register operand `n`. */
  readPart(n: number, place: Value, size: Size): Value {
    return this.let(this.#readAt(v.add(this.#registerOf(n), place), size));
  }

  /** See `readPart`; the rest of the register stays. */
  writePart(n: number, place: Value, value: Value, size: Size): void {
    this.code.store(this.env.state, size, v.add(this.#registerOf(n), place), value);
  }

  /** Vector register 0, which some instructions imply. */
  implicitVector(): Value {
    return this.let(loadVector(this.env.state, v.i32(0), vectorAt(0)));
  }

  /** See `implicitVector`. */
  setImplicitVector(value: Value): void {
    storeVector(this.code, this.env.state, v.i32(0), value, vectorAt(0));
  }

  /** The upper half of vector register operand `n`, in the state. */
  writeUpper(n: number, value: Value): void {
    this.code.store(this.env.state, 64, this.#registerOf(n), value, 8);
  }

  /** See `writeUpper`. */
  readUpper(n: number): Value {
    return this.let(load(this.env.state, I64, 64, this.#registerOf(n), 8));
  }

  #requireAligned(linear: Value): void {
    const misaligned = v.ne(v.and(linear, v.i64(15)), v.i64(0));
    this.code.if(misaligned, () => {
      // An address that is not canonical comes first: the access finds it out.
      const canonical = v.shrS(v.shl(linear, v.i64(16)), v.i64(16));
      this.code.if(v.ne(canonical, linear), () => void this.loadMemory(linear, 8));
      this.raise(13, true);
    });
  }

  // --- the stack ---

  /** Is this code other than 64-bit? An i32. */
  notLong(): Value {
    return v.and(this.opField(I32, 8, OP.scale), v.i32(NOT_LONG));
  }

  /** Linear address of the stack at `offset`, which is cut to the stack's size first. */
  stackLinear(offset: Value, bytes: number, isWrite: boolean): Value {
    const linear = this.code.local(I64);
    this.code.set(linear, offset);
    this.code.if(this.notLong(), () => {
      const info = v.i32(bytes | (isWrite ? SLOW_WRITE : 0));
      this.code.set(linear, v.call(this.env.stacked, I64, linear, info));
      this.code.if(v.eq(linear, v.i64(FAULTED)), () => this.leave(Status.exception));
    });
    return linear;
  }

  stackPointer(): Value {
    return this.let(this.register(4, 64));
  }

  /** Sets the part of RSP that the stack's size covers. */
  setStackPointer(value: Value): void {
    const mask = this.let(this.field(I64, 64, AT.stackMask));
    const old = v.and(this.register(4, 64), v.xor(mask, v.i64(-1)));
    this.setRegister(4, v.or(old, v.and(value, mask)), 64);
  }

  /** Pushes the low `size` bits of `value`. */
  push(value: Value, size: Size = this.size): void {
    const pointer = this.let(v.sub(this.stackPointer(), v.i64(size >> 3)));
    this.storeMemory(this.stackLinear(pointer, size >> 3, true), value, size, SLOW_STACK);
    this.setStackPointer(pointer);
  }

  /** Faults as `push` would, and does nothing else. */
  probePush(size: Size = this.size): void {
    const pointer = this.let(v.sub(this.stackPointer(), v.i64(size >> 3)));
    this.loadMemory(this.stackLinear(pointer, size >> 3, true), size, true, SLOW_STACK);
  }

  /** What is on top of the stack; `dropped` takes it away, once nothing can fault. */
  top(size: Size = this.size): Value {
    const linear = this.stackLinear(this.stackPointer(), size >> 3, false);
    return this.loadMemory(linear, size, false, SLOW_STACK);
  }

  drop(bytes: number | Value): void {
    const by = typeof bytes === "number" ? v.i64(bytes) : bytes;
    this.setStackPointer(v.add(this.register(4, 64), by));
  }

  // --- control flow ---

  /** Leaves generated code at this operation. */
  leave(status: number): void {
    this.setField(32, AT.op, this.op);
    this.code.return(v.i32(status));
  }

  /** An exception of this instruction, without an error code or with one of 0. */
  raise(vector: number | Value, withError = false): void {
    this.setField(8, AT.exceptionVector, typeof vector === "number" ? v.i32(vector) : vector);
    this.setField(8, AT.exceptionHasError, v.i32(withError ? 1 : 0));
    this.setField(32, AT.exceptionError, v.i32(0));
    this.leave(Status.exception);
  }

  /** Calls a function of float_sse that has two results. */
  callFloat(name: SseImport, results: readonly [Local, Local], ...args: Value[]): void {
    this.code.callInto(this.env.floats.get(name)!, results, ...args);
  }

  /** Lets service `number` (services.ts) do the instruction. */
  service(number: number): void {
    this.setField(32, AT.op, this.op);
    this.#leaveUnlessOk(v.call(this.env.service, I32, v.i32(number)));
  }

  /** The next operation of the block. */
  next(): void {
    this.goTo(this.let(v.add(this.op, v.i32(OP_BYTES))));
  }

  /** The operation whose record is at `op`. */
  goTo(op: Value): void {
    const entry = load(this.env.state, I32, 32, op, OP.handler);
    this.code.tailCallIndirect(this.env.handlerType, entry, op);
  }

  /** RIP of the instruction that follows. */
  nextRip(): Value {
    return v.add(this.field(I64, 64, AT.blockRip), this.opField(I64, 16, OP.end));
  }

  /** Cuts a RIP to the operand size. */
  cutRip(rip: Value): Value {
    return this.size === 64 ? rip : v.and(rip, v.i64(this.size === 32 ? 0xffff_ffff : 0xffff));
  }

  /** #GP(0) unless CS allows `rip`; `first` may fault before that. */
  checkRip(rip: Value, first: () => void = () => {}): void {
    this.code.if(v.gtU(rip, this.field(I64, 64, AT.ripLimit)), () => {
      first();
      this.raise(13, true);
    });
  }

  /** As `checkRip`, of a target that may be any 64 bits: it must be canonical, too. */
  checkTarget(rip: Value, first: () => void = () => {}): void {
    if (this.size < 64) return this.checkRip(rip, first);
    const canonical = v.shrS(v.shl(rip, v.i64(16)), v.i64(16));
    this.code.if(v.ne(canonical, rip), () => {
      first();
      this.raise(13, true);
    });
  }

  /** Goes on at `rip`, which must have been checked. */
  jump(rip: Value): void {
    this.setField(64, AT.rip, rip);
    this.setField(32, AT.link, v.i32(0));
    this.code.tailCall(this.env.enter);
  }

  /** Goes on at `rip`; a link (`OP.linkTaken`...) known from last time leads straight there. */
  jumpLinked(rip: Value, link: number): void {
    // Only a link that was made for the whole RIP may be taken: 16-bit ones can wrap.
    const target = this.let(rip);
    const next = this.let(this.opField(I32, 32, link));
    const whole = this.size === 16 ? v.eq(this.cutRip(target), target) : v.i32(1);
    const direct = v.and(
      whole,
      v.and(
        v.and(v.ne(next, v.i32(0)), v.eqz(this.field(I32, 32, AT.pending))),
        v.leU(target, this.field(I64, 64, AT.ripLimit)),
      ),
    );
    this.code.if(direct, () => {
      this.setField(64, AT.blockRip, target);
      this.goTo(next);
    });
    const cut = this.let(this.cutRip(target));
    this.checkRip(cut);
    this.setField(64, AT.rip, cut);
    this.setField(32, AT.link, v.add(this.op, v.i32(link)));
    this.code.tailCall(this.env.enter);
  }

  /** A field of a segment register, 64 bits. */
  segmentField(segment: number, name: keyof typeof SEGMENT): Value {
    return this.field(I64, 64, segment + SEGMENT[name]);
  }
}
