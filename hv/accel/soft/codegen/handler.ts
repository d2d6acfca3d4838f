/**
 * What an instruction's meaning is written against: operands, memory, flags, control flow. An
 * instruction is written once, as a function over a `Handler`; this class makes the interpreter's
 * function of it, in which operands are found through the operation's record. The translator
 * (translator/known_handler.ts) gives the same functions operands that are known.
 *
 * Every operand is read before anything is changed, and memory is written before registers and
 * flags are: an access that faults leaves the function with nothing done.
 */

import type { SseImport } from "../float/module.ts";
import { AT, SEGMENT, TLB_TABLE_BYTES, vectorAt } from "../state/state.ts";
import { load, type Local } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { loadVector, storeVector } from "../wasm/simd.ts";
import { I32, I64, V128, type Value } from "../wasm/value.ts";
import { FAULTED, OperandHandler, type Size } from "./operand_handler.ts";
import { NOT_LONG, OP, OP_BYTES, SLOW_STACK, SLOW_WRITE, Status } from "./operation.ts";

export { type Environment, type Size, typeOf } from "./operand_handler.ts";

/** See above. */
export class Handler extends OperandHandler {
  // --- vectors ---

  /** Vector operand `n`, 16 bytes; in memory, `aligned` gives #GP(0) unless it is. */
  readVector(n: number, aligned: boolean): Value {
    const result = this.code.unset(V128);
    if (!this.inMemory(n)) {
      this.code.set(result, loadVector(this.env.state, this.registerOf(n)));
      return result;
    }
    const linear = this.linear(16, false);
    if (aligned) this.requireAligned(linear);
    const entry = this.tlbEntry(linear);
    this.code.if(this.hit(linear, entry, 16, 0), () => {
      this.code.set(result, loadVector(this.env.guest, this.place(linear, entry, 0)));
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      this.slow(16);
      this.code.set(result, loadVector(this.env.state, v.i32(0), AT.slowValue));
    });
    return result;
  }

  /** Writes a vector operand; see `readVector`. */
  writeVector(n: number, value: Value, aligned: boolean): void {
    if (!this.inMemory(n)) {
      storeVector(this.code, this.env.state, this.registerOf(n), value);
      return;
    }
    const linear = this.linear(16, true);
    if (aligned) this.requireAligned(linear);
    const entry = this.tlbEntry(linear);
    this.code.if(this.hit(linear, entry, 16, TLB_TABLE_BYTES), () => {
      const place = this.place(linear, entry, TLB_TABLE_BYTES);
      storeVector(this.code, this.env.guest, place, value);
    }, () => {
      this.setField(64, AT.slowAddress, linear);
      storeVector(this.code, this.env.state, v.i32(0), value, AT.slowValue);
      this.slow(16 | SLOW_WRITE);
    });
  }

  /** The low 32 or 64 bits of vector register operand `n`; the others stay. */
  writeLane(n: number, value: Value, size: 32 | 64): void {
    this.code.store(this.env.state, size, this.registerOf(n), value);
  }

  /** `size` bits at byte `place` of vector register operand `n`. */
  readPart(n: number, place: Value, size: Size): Value {
    return this.let(this.readAt(v.add(this.registerOf(n), place), size));
  }

  /** See `readPart`; the rest of the register stays. */
  writePart(n: number, place: Value, value: Value, size: Size): void {
    this.code.store(this.env.state, size, v.add(this.registerOf(n), place), value);
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
    this.code.store(this.env.state, 64, this.registerOf(n), value, 8);
  }

  /** See `writeUpper`. */
  readUpper(n: number): Value {
    return this.let(load(this.env.state, I64, 64, this.registerOf(n), 8));
  }

  /** #GP(0) unless `linear` is a multiple of 16. */
  requireAligned(linear: Value): void {
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
    const linear = this.code.unset(I64);
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

  /** Calls a function of float_sse that has two results. */
  callFloat(name: SseImport, results: readonly [Local, Local], ...args: Value[]): void {
    this.code.callInto(this.env.floats.get(name)!, results, ...args);
  }

  /** The next operation of the block. */
  next(): void {
    this.goTo(this.let(v.add(this.op, v.i32(OP_BYTES))));
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
