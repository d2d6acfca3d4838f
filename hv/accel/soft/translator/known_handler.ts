/**
 * The handler of one operation of a region: what an instruction means (../instructions) is written with
 * operands that are known, into the region's function, and falls through to the next operation.
 */

import { Handler } from "../codegen/handler.ts";
import { AddressKind, FLAT, NOT_LONG, OP } from "../codegen/operation.ts";
import { isLockedName } from "../instructions/definition.ts";
import type { HandlerVariant } from "../interpreter.ts";
import { AT, SEGMENT } from "../state/state.ts";
import { type Label, load } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { I32, I64, type Type, type Value } from "../wasm/value.ts";
import type { Size } from "../codegen/operand_handler.ts";
import { RegionCode } from "./region_code.ts";

/** Where an operation is, and what is around it. */
export interface KnownPlace {
  readonly region: RegionCode;
  /** Memory 0. */
  readonly data: DataView;
  /** Address of the operation's record. */
  readonly op: number;
  /** RIP of its block minus that of the region. */
  readonly distance: number;
  /** Is the region no longer what is to be executed? An i32. */
  readonly isForgotten: Value;
  /**
   * Writes a branch to where the link at `address` leads within the region, taken if all of `conditions`
   * are true; true: nothing that follows is reached.
   */
  readonly follow: (address: number, conditions: readonly Value[]) => boolean;
}

const ALL_ONES = -1n;

/** See above. */
export class KnownHandler extends Handler {
  readonly #place: KnownPlace;
  readonly #region: RegionCode;
  /** Is it 64-bit code? */
  readonly #isLong: boolean;
  /** Is it 32-bit code with flat segments? */
  readonly #isFlat: boolean;
  /** Has it written memory, or called a service: may the region have been forgotten by it? */
  #isTouchy = false;
  readonly #variant: HandlerVariant;
  #end: Label | undefined;

  constructor(variant: HandlerVariant, place: KnownPlace) {
    const { region } = place;
    super(region.env, variant.size, variant.form, isLockedName(variant.definition.name), {
      code: region.code,
      op: v.i32(place.op),
    });
    this.#variant = variant;
    this.#place = place;
    this.#region = region;
    const modeBits = place.data.getUint8(place.op + OP.scale);
    this.#isLong = (modeBits & NOT_LONG) === 0;
    this.#isFlat = (modeBits & FLAT) !== 0;
  }

  // --- what is known, and what is in variables ---

  override opField(type: Type, bits: number, offset: number, isSigned = false): Value {
    const { data, op } = this.#place;
    const at = op + offset;
    switch (bits) {
      case 8:
        return v.integer(type, isSigned ? data.getInt8(at) : data.getUint8(at));
      case 16:
        return v.integer(type, isSigned ? data.getInt16(at, true) : data.getUint16(at, true));
      case 32:
        return v.integer(type, isSigned ? data.getInt32(at, true) : data.getUint32(at, true));
      default:
        return v.integer(type, data.getBigInt64(at, true));
    }
  }

  override field(type: Type, bits: number, offset: number): Value {
    if (RegionCode.keptAt(offset) >= 0) return this.#region.read(offset, type, bits);
    switch (offset) {
      case AT.blockRip:
        return v.add(this.#region.rip, v.i64(this.#place.distance));
      case AT.tlb:
        return this.#region.tlb;
      case AT.zero:
        return v.integer(type, 0);
      case AT.stackMask:
      case AT.ripLimit:
        if (this.#isLong) return v.integer(type, ALL_ONES);
        if (this.#isFlat) return v.integer(type, 0xffff_ffff);
    }
    return super.field(type, bits, offset);
  }

  override setField(bits: number, offset: number, value: Value): void {
    if (RegionCode.keptAt(offset) >= 0) this.#region.write(offset, bits, value);
    else super.setField(bits, offset, value);
  }

  protected override readAt(address: Value, size: Size): Value {
    if (address.constant === undefined) return super.readAt(address, size);
    return this.field(size === 64 ? I64 : I32, size, Number(address.constant));
  }

  protected override writeAt(address: Value, value: Value, size: Size): void {
    if (address.constant === undefined) return super.writeAt(address, value, size);
    const at = Number(address.constant);
    if (size === 32) this.setField(64, at, v.extendU(value));
    else this.setField(size, at, value);
  }

  override linearOf(offset: Value, bytes: number, isWrite: boolean): Value {
    const { data, op } = this.#place;
    const kind = data.getUint8(op + OP.kind);
    const base = () =>
      load(this.env.state, I64, 64, v.i32(data.getUint16(op + OP.segment, true)), SEGMENT.base);
    switch (kind) {
      case AddressKind.plain:
        return this.let(offset);
      case AddressKind.based:
        return this.let(v.add(offset, base()));
      case AddressKind.based32:
        return this.let(v.add(v.and(offset, v.i64(0xffff_ffff)), base()));
      case AddressKind.flat32:
        return this.let(v.and(offset, v.i64(0xffff_ffff)));
      default:
        return super.linearOf(offset, bytes, isWrite);
    }
  }

  override stackLinear(offset: Value, bytes: number, isWrite: boolean): Value {
    if (this.#isFlat) return this.let(v.and(offset, v.i64(0xffff_ffff)));
    return super.stackLinear(offset, bytes, isWrite);
  }

  // --- out of the region ---

  protected override enterSlow(): void {
    super.enterSlow();
    super.setField(64, AT.blockRip, this.field(I64, 64, AT.blockRip));
  }

  protected override leaveWith(status: Value): void {
    this.#region.leaveWith(status);
  }

  protected override afterWrite(): void {
    this.#isTouchy = true;
    this.code.set(this.#region.forgotten, this.#place.isForgotten);
  }

  override service(number: number): void {
    this.#region.isSpilledEarly = true;
    this.#region.spill();
    this.enterSlow();
    const status = this.let(v.call(this.env.service, I32, v.i32(number)));
    // The service has changed the state, not the variables.
    this.code.if(status, () => this.code.return(status));
    this.#region.reload();
    this.afterWrite();
  }

  override goTo(op: Value): void {
    this.#region.leaveTo(op, this.field(I64, 64, AT.blockRip));
  }

  /** Writes the operation; what follows is the next one. */
  emit(): void {
    const { definition: { body, leaves } } = this.#variant;
    this.code.block((end) => {
      this.#end = end;
      body(this);
    });
    if (leaves) this.code.unreachable();
    else if (this.#isTouchy) {
      this.code.if(this.#region.forgotten, () => this.jump(this.nextRip()));
    }
  }

  override next(): void {
    this.code.branch(this.#end!);
  }

  override checkRip(rip: Value, first?: () => void): void {
    if (!this.#isLong && !this.#isFlat) super.checkRip(rip, first);
  }

  override jump(rip: Value): void {
    super.setField(64, AT.rip, rip);
    super.setField(32, AT.link, v.i32(0));
    this.#region.leaveToRip();
  }

  override jumpLinked(rip: Value, link: number): void {
    const { op, follow } = this.#place;
    const { code } = this;
    const target = this.let(rip);
    if (this.size !== 16) {
      const conditions: Value[] = [];
      if (!this.#isLong && !this.#isFlat) {
        conditions.push(v.leU(target, this.field(I64, 64, AT.ripLimit)));
      }
      if (this.#isTouchy) conditions.push(v.eqz(this.#region.forgotten));
      if (follow(op + link, conditions)) return;
    }
    const cut = this.let(this.cutRip(target));
    this.checkRip(cut);
    const whole = this.size === 16 ? v.eq(cut, target) : v.i32(1);
    const next = this.let(load(this.env.state, I32, 32, v.i32(op + link)));
    const direct = v.and(
      whole,
      v.and(v.ne(next, v.i32(0)), v.eqz(this.field(I32, 32, AT.pending))),
    );
    code.if(direct, () => this.#region.leaveTo(next, target));
    super.setField(64, AT.rip, cut);
    super.setField(32, AT.link, v.i32(op + link));
    this.#region.leaveToRip();
  }
}
