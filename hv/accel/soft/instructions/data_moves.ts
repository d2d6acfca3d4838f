/**
 * Moves, extensions, the stack (Intel SDM volume 2: BSWAP, CBW..., CMOVcc, LAHF, LEA, LEAVE, MOV,
 * MOVBE, MOVSX, MOVZX, POP, PUSH, SAHF, SETcc, XCHG, XLAT).
 */

import * as flags from "../codegen/flags.ts";
import { AddressKind, OP, SLOW_STACK } from "../codegen/operation.ts";
import type { Handler, Size } from "../codegen/handler.ts";
import { AT, SEGMENT, segmentAt, SegmentCache } from "../state/state.ts";
import { load } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { I32, I64, type Value } from "../wasm/value.ts";
import { define, type Definition, ONE_OPERAND, TWO_OPERANDS, WORD_SIZES } from "./definition.ts";

const RAX = 0;
const RDX = 2;
const RBP = 5;
const LOAD_FORMS = ["rr", "rm"];

/** A value of `from` bits in the operation's type, sign-extended if `isSigned`. */
function extended(h: Handler, value: Value, from: Size, isSigned: boolean): Value {
  if (h.size === 64) {
    return isSigned ? v.extendS(value, from) : v.extendU(value);
  }
  return isSigned ? h.cut(v.signed32(value, from)) : value;
}

const extension = (name: string, from: Size, isSigned: boolean): Definition =>
  define(name, LOAD_FORMS, (h) => {
    h.write(0, extended(h, h.read(1, from), from, isSigned));
  }, WORD_SIZES);

/** Bytes in reverse order. */
export function swapBytes(h: Handler, value: Value, size: Size): Value {
  const c = (n: number | bigint) => v.integer(value.type, n);
  if (size === 16) return v.or(v.shrU(value, c(8)), h.cut(v.shl(value, c(8)), 16));
  if (size === 32) {
    return v.or(
      v.and(v.rotl(value, c(8)), c(0x00ff_00ff)),
      v.and(v.rotr(value, c(8)), c(0xff00_ff00)),
    );
  }
  const a = h.let(v.or(
    v.and(v.shl(value, c(8)), c(0xff00_ff00_ff00_ff00n)),
    v.and(v.shrU(value, c(8)), c(0x00ff_00ff_00ff_00ffn)),
  ));
  const b = h.let(v.or(
    v.and(v.shl(a, c(16)), c(0xffff_0000_ffff_0000n)),
    v.and(v.shrU(a, c(16)), c(0x0000_ffff_0000_ffffn)),
  ));
  return v.rotl(b, c(32));
}

const farOffset = (h: Handler): Value => h.opField(I64, 64, OP.immediate);

const setcc = flags.CONDITIONS.map((name, code) =>
  define(`set${name}`, ONE_OPERAND, (h) => h.write(0, flags.condition(h, code)), [8])
);

const cmov = flags.CONDITIONS.map((name, code) =>
  define(`cmov${name}`, LOAD_FORMS, (h) => {
    // Memory is read, and a 32-bit destination's upper half cleared, whatever the condition.
    const source = h.read(1);
    h.write(0, v.select(flags.condition(h, code), source, h.read(0)));
  }, WORD_SIZES)
);

/** See above. */
export const DATA_MOVES: readonly Definition[] = [
  define("mov", TWO_OPERANDS, (h) => h.write(0, h.read(1))),
  // MOV from a segment register, whose number is the immediate: memory gets 16 bits at any size.
  define("movFromSegment", ["r", "m"], (h) => {
    const number = h.opField(I32, 32, OP.immediate);
    const at = v.add(v.mul(number, v.i32(SegmentCache.byteLength)), v.i32(segmentAt(0)));
    const selector = h.let(load(h.env.state, I32, 16, at, SEGMENT.selector));
    if (h.inMemory(0)) h.write(0, selector, 16);
    else h.write(0, h.size === 64 ? v.extendU(selector) : selector);
  }, WORD_SIZES),
  extension("movzx8", 8, false),
  extension("movzx16", 16, false),
  extension("movsx8", 8, true),
  extension("movsx16", 16, true),
  extension("movsxd", 32, true),
  define("lea", ["rm"], (h) => {
    const offset = h.code.local(I64);
    h.code.set(offset, h.effectiveAddress());
    const kind = h.let(h.opField(I32, 8, OP.kind));
    h.code.if(v.gtU(kind, v.i32(AddressKind.based)), () => {
      const mask = v.select(
        v.eq(kind, v.i32(AddressKind.segment16)),
        v.i64(0xffff),
        v.i64(0xffff_ffff),
      );
      h.code.set(offset, v.and(offset, mask));
    });
    h.write(0, h.size === 64 ? offset : h.cut(v.wrap(offset)));
  }, WORD_SIZES),
  define("xchg", ["rr", "mr"], (h) => {
    const a = h.readForWrite(0);
    const b = h.read(1);
    h.write(0, b);
    h.write(1, a);
  }),
  define("bswap", ["r"], (h) => {
    // BSWAP of 16 bits is undefined in the manuals; processors leave 0.
    h.write(0, h.size === 16 ? v.i32(0) : swapBytes(h, h.read(0), h.size));
  }, WORD_SIZES),
  define(
    "movbe",
    ["rm", "mr"],
    (h) => h.write(0, h.let(swapBytes(h, h.read(1), h.size))),
    WORD_SIZES,
  ),
  // CBW, CWDE, CDQE: the size is that of the result.
  define("cbw", [""], (h) => {
    const half = (h.size / 2) as Size;
    h.setRegister(RAX, h.let(extended(h, h.register(RAX, half), half, true)), h.size);
  }, WORD_SIZES),
  // CWD, CDQ, CQO.
  define("cwd", [""], (h) => {
    const sign = v.shrS(h.signed(h.register(RAX, h.size)), v.i64(63));
    h.setRegister(RDX, h.size === 64 ? sign : v.wrap(sign), h.size);
  }, WORD_SIZES),
  define("lahf", [""], (h) => {
    const low = v.or(v.and(flags.arithmeticFlags(h), v.i32(0xff)), v.i32(2));
    h.setField(8, AT.general + 1, low);
  }, [32]),
  // Undocumented, and in every processor: AL becomes FFh with CF, else 0.
  define("salc", [""], (h) => {
    h.setRegister(RAX, v.sub(v.i32(0), v.wrap(flags.carry(h))), 8);
  }, [32]),
  define("sahf", [""], (h) => {
    const kept = v.and(flags.arithmeticFlags(h), v.i32(flags.OF));
    const ah = v.and(h.field(I32, 8, AT.general + 1), v.i32(flags.ARITHMETIC & 0xff));
    flags.setArithmeticFlags(h, h.let(v.or(kept, ah)));
  }, [32]),
  // MOV with a 64-bit offset that fits no displacement: it is the immediate.
  define("loadAbsolute", [""], (h) => {
    h.setRegister(RAX, h.loadMemory(h.linearOf(farOffset(h), h.size >> 3, false), h.size), h.size);
  }),
  define("storeAbsolute", [""], (h) => {
    const linear = h.linearOf(farOffset(h), h.size >> 3, true);
    h.storeMemory(linear, h.let(h.register(RAX, h.size)), h.size);
  }),
  // The memory operand is [rBX]; AL is added before the address is cut to its size.
  define("xlat", ["m"], (h) => {
    const offset = v.add(h.effectiveAddress(), v.extendU(h.register(RAX, 8)));
    h.setRegister(RAX, h.loadMemory(h.linearOf(offset, 1, false), 8), 8);
  }, [8]),
  define("push", ["r", "m", "i"], (h) => h.push(h.read(0)), WORD_SIZES),
  define("pop", ["r"], (h) => {
    const value = h.top();
    h.drop(h.size >> 3);
    h.write(0, value);
  }, WORD_SIZES),
  define("pop", ["m"], (h) => {
    // The address is computed with RSP already incremented (SDM, POP): the record's displacement
    // has the increment if the base is RSP; see lowering.ts.
    const value = h.top();
    h.write(0, value);
    h.drop(h.size >> 3);
  }, WORD_SIZES),
  define("leave", [""], (h) => {
    const frame = h.let(h.register(RBP, 64));
    const linear = h.stackLinear(frame, h.size >> 3, false);
    const value = h.loadMemory(linear, h.size, false, SLOW_STACK);
    h.setStackPointer(v.add(frame, v.i64(h.size >> 3)));
    h.setRegister(RBP, value, h.size);
  }, WORD_SIZES),
  ...setcc,
  ...cmov,
  define("nop", [""], () => {}),
];
