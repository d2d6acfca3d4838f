/** SSE4.2's comparisons of strings (Intel SDM volume 2, 4.1: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM). */

import * as flags from "../../codegen/flags.ts";
import type { Handler } from "../../codegen/handler.ts";
import { OP } from "../../codegen/operation.ts";
import { CF, OF, SF, ZF } from "../../state/flags_word.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { I32, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { sse } from "./definition.ts";
import { range } from "./lanes.ts";
import { Immediate, implicitLength } from "./string_compare.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;

/** Where the lengths come from: registers of 32 or 64 bits, or the strings' ends. */
type Lengths = 32 | 64 | "implicit";

/** The magnitude of a register, as far as the vector reaches. */
function explicitLength(h: Handler, register: number, size: 32 | 64, most: number): Value {
  const value = h.register(register, size);
  const signed = h.let(size === 32 ? v.extendS(value) : value);
  const magnitude = h.let(v.select(v.ltS(signed, v.i64(0)), v.sub(v.i64(0), signed), signed));
  return h.let(v.wrap(v.select(v.ltU(magnitude, v.i64(most)), magnitude, v.i64(most))));
}

const lengthOf = (h: Handler, bits: 8 | 16, lengths: Lengths, text: Value, register: number) =>
  lengths === "implicit"
    ? h.let(implicitLength(bits, text))
    : explicitLength(h, register, lengths, 128 / bits);

/** The last or first element that has a bit, or the number of elements. */
function storeIndex(h: Handler, found: Value, imm: Value, count: number): void {
  const last = v.sub(v.i32(31), v.clz(found));
  const index = v.select(v.and(imm, v.i32(Immediate.last)), last, v.ctz(found));
  h.setRegister(RCX, v.select(found, index, v.i32(count)), 32);
}

/** The bits, or all ones in the elements that have one, to XMM0. */
function storeMask(h: Handler, bits: 8 | 16, found: Value, imm: Value): void {
  const spread = bits === 8
    ? s.shuffle(simd.splat16(found), s.ZERO, range(0, 16).map((i) => i >> 3))
    : simd.splat16(found);
  const own = s.vectorConstant(
    range(0, 16).map((i) => bits === 8 ? 1 << (i & 7) : i % 2 === 0 ? 1 << i / 2 : 0),
  );
  const equal = bits === 8 ? simd.eq8 : simd.eq16;
  h.code.if(
    v.and(imm, v.i32(Immediate.last)),
    () => h.setImplicitVector(equal(simd.and(spread, own), own)),
    () => h.setImplicitVector(s.replace32(s.ZERO, 0, found)),
  );
}

/** CF: any; ZF and SF: the second and first string end in the vector; OF: the first; the others 0. */
function setFlags(h: Handler, found: Value, count: number, lengths: readonly [Value, Value]): void {
  const place = (condition: Value, flag: number) => v.shl(condition, v.i32(Math.log2(flag)));
  const [a, b] = lengths;
  const word = [
    place(v.ltU(b, v.i32(count)), ZF),
    place(v.ltU(a, v.i32(count)), SF),
    place(v.and(found, v.i32(1)), OF),
  ].reduce(v.or, place(v.ne(found, v.i32(0)), CF));
  flags.setArithmeticFlags(h, h.let(word));
}

const comparison = (name: string, lengths: Lengths, stores: "index" | "mask"): Definition =>
  sse(name, ["rri", "rmi"], (h) => {
    const b = h.readVector(1, false);
    const a = h.readVector(0, false);
    const imm = h.let(h.opField(I32, 8, OP.immediate));
    const withElements = (bits: 8 | 16) => {
      const count = 128 / bits;
      const aLength = lengthOf(h, bits, lengths, a, RAX);
      const bLength = lengthOf(h, bits, lengths, b, RDX);
      const compare = bits === 8 ? h.env.compareBytes : h.env.compareWords;
      const found = h.let(v.call(compare, I32, a, b, aLength, bLength, imm));
      if (stores === "index") storeIndex(h, found, imm, count);
      else storeMask(h, bits, found, imm);
      setFlags(h, found, count, [aLength, bLength]);
    };
    h.code.if(
      v.and(imm, v.i32(Immediate.words)),
      () => withElements(16),
      () => withElements(8),
    );
  });

/** See above. REX.W makes the explicit lengths those of RAX and RDX. */
export const SSE4_2: readonly Definition[] = [
  comparison("pcmpestri32", 32, "index"),
  comparison("pcmpestri64", 64, "index"),
  comparison("pcmpestrm32", 32, "mask"),
  comparison("pcmpestrm64", 64, "mask"),
  comparison("pcmpistri", "implicit", "index"),
  comparison("pcmpistrm", "implicit", "mask"),
];
