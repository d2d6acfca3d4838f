/**
 * Single bits, counts and fields (Intel SDM volume 2: BSF, BSR, BT/BTC/BTR/BTS, CRC32, LZCNT, POPCNT,
 * TZCNT; BMI1 and BMI2).
 */

import * as flags from "../codegen/flags.ts";
import type { Handler, Size } from "../codegen/handler.ts";
import * as v from "../wasm/value.ts";
import type { Value } from "../wasm/value.ts";
import { define, type Definition, WORD_SIZES } from "./definition.ts";

const LOAD_FORMS = ["rr", "rm"];
const BMI_SIZES: readonly Size[] = [32, 64];
/** CRC-32C, bits reversed. */
const CASTAGNOLI = 0x82f6_3b78;

const log2 = (size: Size): number => Math.log2(size);
const toWide = (value: Value): Value => v.extendU(value);

/**
 * BT and its kin. A register as bit number reaches beyond the operand in memory: the word that holds
 * the bit is taken, at a signed distance.
 */
const bitTest = (name: string, change?: (h: Handler, a: Value, mask: Value) => Value): Definition =>
  define(name, ["rr", "mr", "ri", "mi"], (h) => {
    const number = h.read(1);
    const place = h.let(v.and(number, h.constant(h.size - 1)));
    const bytes = h.size >> 3;
    const writes = change !== undefined;
    let a: Value;
    let linear: Value | undefined;
    if (h.form === "mr") {
      const words = v.shrS(h.signed(number), v.i64(log2(h.size)));
      const offset = v.add(h.effectiveAddress(), v.mul(words, v.i64(bytes)));
      linear = h.linearOf(offset, bytes, writes);
      a = h.loadMemory(linear, h.size, writes);
    } else {
      a = writes ? h.readForWrite(0) : h.read(0);
    }
    const carry = h.let(toWide(v.and(v.shrU(a, place), h.constant(1))));
    if (change !== undefined) {
      const changed = h.let(h.cut(change(h, a, v.shl(h.constant(1), place))));
      if (linear !== undefined) h.storeMemory(linear, changed, h.size);
      else h.write(0, changed);
    }
    flags.setCarry(h, carry);
  }, WORD_SIZES);

/** BSF and BSR: of 0 only ZF comes, the destination stays. */
const bitScan = (name: "bsf" | "bsr"): Definition =>
  define(name, LOAD_FORMS, (h) => {
    const a = h.read(1);
    h.code.if(h.size === 64 ? v.ne(a, v.i64(0)) : a, () => {
      const last = v.sub(h.constant(h.size === 64 ? 63 : 31), v.clz(a));
      h.write(0, name === "bsf" ? v.ctz(a) : last);
    });
    flags.setZero(h, v.eqz(a));
  }, WORD_SIZES);

/** LZCNT and TZCNT: of 0 the size comes, and CF. */
const countZeros = (name: "lzcnt" | "tzcnt"): Definition =>
  define(name, LOAD_FORMS, (h) => {
    const a = h.read(1);
    const spare = h.size === 16 ? 16 : 0;
    const r = h.let(
      name === "lzcnt"
        ? v.sub(v.clz(a), h.constant(spare))
        // A bit above the operand stops the count of a 16-bit 0.
        : v.ctz(h.size === 16 ? v.or(a, v.i32(0x1_0000)) : a),
    );
    h.write(0, r);
    flags.setResultFlags(h, r, toWide(v.eqz(a)), v.i64(0));
  }, WORD_SIZES);

const lowest = (name: string, operate: (h: Handler, a: Value, less: Value) => Value): Definition =>
  define(name, LOAD_FORMS, (h) => {
    const a = h.read(1);
    const r = h.let(operate(h, a, h.let(v.sub(a, h.constant(1)))));
    h.write(0, r);
    // BLSI sets CF for a source that is not 0, the other two for one that is.
    const carry = name === "blsi" ? v.eqz(v.eqz(a)) : v.eqz(a);
    flags.setResultFlags(h, r, toWide(carry), v.i64(0));
  }, BMI_SIZES);

/** PDEP and PEXT: bit by bit of the mask, lowest first. */
const scatter = (name: "pdep" | "pext"): Definition =>
  define(name, ["rrr", "rrm"], (h) => {
    const { code } = h;
    const source = code.local(h.type);
    code.set(source, h.read(1));
    const mask = code.local(h.type);
    code.set(mask, h.read(2));
    const r = code.local(h.type);
    const place = code.local(h.type);
    code.set(place, h.constant(1));
    const one = h.constant(1);
    code.block((done) =>
      code.loop((again) => {
        code.branchIf(done, v.eqz(mask));
        const low = h.let(v.and(mask, v.sub(h.constant(0), mask)));
        const taken = name === "pdep" ? v.and(source, one) : v.and(source, low);
        code.if(v.eqz(v.eqz(taken)), () => {
          code.set(r, v.or(r, name === "pdep" ? low : place));
        });
        if (name === "pdep") code.set(source, v.shrU(source, one));
        else code.set(place, v.shl(place, one));
        code.set(mask, v.xor(mask, low));
        code.branch(again);
      })
    );
    h.write(0, r);
  }, BMI_SIZES);

/** CRC32 of a source of `from` bits; the destination has 32 or 64. */
const crc32 = (from: Size): Definition =>
  define(`crc32_${from}`, LOAD_FORMS, (h) => {
    const { code } = h;
    const data = h.read(1, from);
    const crc = code.local(v.I32);
    const start = h.register32(0);
    const rounds = from === 64 ? 2 : 1;
    code.set(crc, start);
    for (let i = 0; i < rounds; i++) {
      const part = from === 64 ? v.wrap(v.shrU(data, v.i64(32 * i))) : data;
      code.set(crc, v.xor(crc, part));
      const left = code.local(v.I32);
      code.set(left, v.i32(Math.min(from, 32)));
      code.loop((again) => {
        const out = v.sub(v.i32(0), v.and(crc, v.i32(1)));
        code.set(crc, v.xor(v.shrU(crc, v.i32(1)), v.and(out, v.i32(CASTAGNOLI))));
        code.set(left, v.sub(left, v.i32(1)));
        code.branchIf(again, left);
      });
    }
    h.write(0, crc, 32);
  }, BMI_SIZES);

/** See above. */
export const BITS: readonly Definition[] = [
  bitTest("bt"),
  bitTest("bts", (_, a, mask) => v.or(a, mask)),
  bitTest("btr", (h, a, mask) => v.and(a, v.xor(mask, h.constant(-1)))),
  bitTest("btc", (_, a, mask) => v.xor(a, mask)),
  bitScan("bsf"),
  bitScan("bsr"),
  countZeros("tzcnt"),
  countZeros("lzcnt"),
  define("popcnt", LOAD_FORMS, (h) => {
    const a = h.read(1);
    h.write(0, h.let(v.popcnt(a)));
    // Only ZF; the result of a source that is not 0 would set PF, so 0 or 256 stand for it.
    const shown = v.select(v.eqz(a), v.i64(0), v.i64(256));
    flags.setOnlyZero(h, shown);
  }, WORD_SIZES),
  define("andn", ["rrr", "rrm"], (h) => {
    const r = h.let(v.and(v.xor(h.read(1), h.constant(-1)), h.read(2)));
    h.write(0, r);
    flags.setLogicFlags(h, r);
  }, BMI_SIZES),
  lowest("blsr", (_, a, less) => v.and(a, less)),
  lowest("blsmsk", (_, a, less) => v.xor(a, less)),
  lowest("blsi", (h, a) => v.and(a, v.sub(h.constant(0), a))),
  define("bextr", ["rrr", "rmr"], (h) => {
    const control = h.let(toWide(h.read(2)));
    const start = h.let(v.and(control, v.i64(0xff)));
    const length = h.let(v.and(v.shrU(control, v.i64(8)), v.i64(0xff)));
    const a = toWide(h.read(1));
    const shifted = h.let(
      v.select(v.ltU(start, v.i64(h.size)), v.shrU(a, start), v.i64(0)),
    );
    const mask = v.sub(v.shl(v.i64(1), length), v.i64(1));
    const r64 = v.select(v.ltU(length, v.i64(64)), v.and(shifted, mask), shifted);
    const r = h.let(h.size === 64 ? r64 : v.wrap(r64));
    h.write(0, r);
    flags.setLogicFlags(h, r);
  }, BMI_SIZES),
  define("bzhi", ["rrr", "rmr"], (h) => {
    const number = h.let(v.and(toWide(h.read(2)), v.i64(0xff)));
    const a = h.read(1);
    const inside = h.let(v.ltU(number, v.i64(h.size)));
    const mask = v.sub(v.shl(v.i64(1), number), v.i64(1));
    const kept = v.select(inside, v.and(toWide(a), mask), toWide(a));
    const r = h.let(h.size === 64 ? kept : v.wrap(kept));
    h.write(0, r);
    flags.setResultFlags(h, r, toWide(v.eqz(inside)), v.i64(0));
  }, BMI_SIZES),
  scatter("pdep"),
  scatter("pext"),
  ...([8, 16, 32, 64] as const).map(crc32),
];
