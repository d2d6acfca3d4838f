/**
 * SSE and SSE2 floating point, packed and scalar (Intel SDM volume 2: ADDPS to UNPCKLPD, CVT*, UCOMISD;
 * volume 1, 11.5 and table 4-7 for NaNs).
 *
 * With MXCSR as it is after FINIT-like starts: round to nearest, everything masked, no flushing of
 * denormals. Other settings end in `Status.failed`, and the sticky flags of MXCSR are not set yet.
 */

import * as flags from "../../codegen/flags.ts";
import type { Handler } from "../../codegen/handler.ts";
import { OP, Status } from "../../codegen/operation.ts";
import { MXCSR_AT } from "../../state.ts";
import type { ByteWriter } from "../../wasm/byte_writer.ts";
import * as s from "../../wasm/simd.ts";
import { simd } from "../../wasm/simd.ts";
import * as v from "../../wasm/value.ts";
import { F64, I32, I64, type Type, type Value } from "../../wasm/value.ts";
import type { Definition } from "../definition.ts";
import { LOAD, sse } from "./definition.ts";
import { range } from "./lanes.ts";

/** DAZ, the masks, RC and FZ: what must be so. */
const MXCSR_CONTROL = 0xffc0;
const MXCSR_DEFAULT = 0x1f80;

type Width = 32 | 64;
type Binary = (a: Value, b: Value) => Value;

/** Bytes of a lane, repeated. */
const lanes = (width: Width, bytes32: number[], bytes64: number[]): Value =>
  s.vectorConstant(
    width === 32 ? [...bytes32, ...bytes32, ...bytes32, ...bytes32] : [...bytes64, ...bytes64],
  );
const quietBit = (w: Width) => lanes(w, [0, 0, 0x40, 0], [0, 0, 0, 0, 0, 0, 8, 0]);
const defaultNan = (w: Width) => lanes(w, [0, 0, 0xc0, 0xff], [0, 0, 0, 0, 0, 0, 0xf8, 0xff]);
const isNan = (w: Width, a: Value) => w === 32 ? simd.neF32(a, a) : simd.neF64(a, a);

function requireDefaults(h: Handler): void {
  const control = v.and(h.field(I32, 32, MXCSR_AT), v.i32(MXCSR_CONTROL));
  h.code.if(v.ne(control, v.i32(MXCSR_DEFAULT)), () => h.leave(Status.failed));
}

/** The result with NaNs as processors make them: of the first operand, else the second. */
function withNans(h: Handler, w: Width, result: Value, a: Value, b: Value): Value {
  const r = h.code.local(v.V128);
  h.code.set(r, result);
  const wrong = h.let(isNan(w, r));
  h.code.if(simd.anyTrue(wrong), () => {
    const ofB = simd.select(simd.or(b, quietBit(w)), defaultNan(w), isNan(w, b));
    const nan = simd.select(simd.or(a, quietBit(w)), ofB, isNan(w, a));
    h.code.set(r, simd.select(nan, r, wrong));
  });
  return r;
}

/** Packed sums and differences for what is made of them; `addsub` subtracts in the even lanes. */
export function packedArithmetic(
  h: Handler,
  operation: "add" | "sub" | "addsub",
  w: Width,
  a: Value,
  b: Value,
): Value {
  requireDefaults(h);
  const sum = w === 32 ? simd.addF32(a, b) : simd.addF64(a, b);
  const difference = w === 32 ? simd.subF32(a, b) : simd.subF64(a, b);
  const even = s.vectorConstant(range(0, 16).map((at) => at & w >> 3 ? 0 : 0xff));
  const result = operation === "add"
    ? sum
    : operation === "sub"
    ? difference
    : simd.select(difference, sum, even);
  return withNans(h, w, result, a, b);
}

/** The second operand of a scalar operation: its lowest lane in all. */
const scalarOperand = (h: Handler, w: Width): Value =>
  h.let(w === 32 ? simd.splat32(h.read(1, 32)) : simd.splat64(h.read(1, 64)));

/** Stores the lowest lane of a result. */
const storeScalar = (h: Handler, w: Width, result: Value): void =>
  h.writeLane(0, w === 32 ? s.extract32(result, 0) : s.extract64(result, 0), w);

/** The four variants of an operation: PS, PD, SS, SD. */
function arithmetic(
  name: string,
  operate: { readonly 32: Binary; readonly 64: Binary },
  nans = true,
): Definition[] {
  return ([32, 64] as const).flatMap((w) => {
    const letter = w === 32 ? "s" : "d";
    const result = (h: Handler, a: Value, b: Value) =>
      nans ? withNans(h, w, operate[w](a, b), a, b) : operate[w](a, b);
    return [
      sse(`${name}p${letter}`, LOAD, (h) => {
        requireDefaults(h);
        const b = h.readVector(1, true);
        const a = h.readVector(0, true);
        h.writeVector(0, result(h, a, b), true);
      }),
      sse(`${name}s${letter}`, LOAD, (h) => {
        requireDefaults(h);
        const b = scalarOperand(h, w);
        const a = h.readVector(0, true);
        storeScalar(h, w, result(h, a, b));
      }),
    ];
  });
}

/** Square roots, which have one operand. */
const roots = ([32, 64] as const).flatMap((w) => {
  const letter = w === 32 ? "s" : "d";
  const root = w === 32 ? simd.sqrtF32 : simd.sqrtF64;
  return [
    sse(`sqrtp${letter}`, LOAD, (h) => {
      requireDefaults(h);
      const b = h.readVector(1, true);
      h.writeVector(0, withNans(h, w, root(b), b, b), true);
    }),
    sse(`sqrts${letter}`, LOAD, (h) => {
      requireDefaults(h);
      const b = scalarOperand(h, w);
      storeScalar(h, w, withNans(h, w, root(b), b, b));
    }),
  ];
});

/** The predicate of CMPPS and its kin: EQ, LT, LE, UNORD, and these negated. */
function compared(h: Handler, w: Width, a: Value, b: Value): Value {
  const imm = h.let(h.opField(I32, 8, OP.immediate));
  const results = w === 32
    ? [simd.eqF32(a, b), simd.ltF32(a, b), simd.leF32(a, b)]
    : [simd.eqF64(a, b), simd.ltF64(a, b), simd.leF64(a, b)];
  results.push(simd.or(isNan(w, a), isNan(w, b)));
  const r = h.code.local(v.V128);
  results.forEach((result, i) => {
    h.code.if(v.eq(v.and(imm, v.i32(3)), v.i32(i)), () => h.code.set(r, result));
  });
  const inverted = v.sub(v.i32(0), v.and(v.shrU(imm, v.i32(2)), v.i32(1)));
  return h.let(simd.xor(r, simd.splat32(inverted)));
}

const comparisons = ([32, 64] as const).flatMap((w) => {
  const letter = w === 32 ? "s" : "d";
  const bitmask = w === 32 ? simd.bitmask32 : simd.bitmask64;
  const flagCompare = (name: string) =>
    sse(`${name}s${letter}`, LOAD, (h) => {
      requireDefaults(h);
      const b = scalarOperand(h, w);
      const a = h.readVector(0, true);
      const bit = (x: Value) => h.let(v.and(bitmask(x), v.i32(1)));
      const equal = bit(w === 32 ? simd.eqF32(a, b) : simd.eqF64(a, b));
      const less = bit(w === 32 ? simd.ltF32(a, b) : simd.ltF64(a, b));
      const none = bit(simd.or(isNan(w, a), isNan(w, b)));
      const word = v.or(
        v.or(v.or(less, none), v.shl(none, v.i32(2))),
        v.shl(v.or(equal, none), v.i32(6)),
      );
      flags.setArithmeticFlags(h, h.let(word));
    });
  return [
    sse(`cmpp${letter}`, ["rri", "rmi"], (h) => {
      requireDefaults(h);
      const b = h.readVector(1, true);
      h.writeVector(0, compared(h, w, h.readVector(0, true), b), true);
    }),
    sse(`cmps${letter}_x`, ["rri", "rmi"], (h) => {
      requireDefaults(h);
      const b = scalarOperand(h, w);
      storeScalar(h, w, compared(h, w, h.readVector(0, true), b));
    }),
    flagCompare("ucomi"),
    flagCompare("comi"),
  ];
});

/** An instruction that the expressions have no name for. */
const plain = (type: Type, a: Value, ...opcode: number[]): Value => ({
  type,
  emit: (out: ByteWriter) => {
    a.emit(out);
    for (const byte of opcode) out.byte(byte);
  },
});
const F64_FROM_I64 = 0xb9;
const F32_FROM_I64 = 0xb4;
const F64_NEAREST = 0x9e;
const F64_PROMOTE = 0xbb;
const I64_TRUNCATE_SATURATING = [0xfc, 6];

/** Lane `n` of width `w` as a double. */
const laneAsDouble = (w: Width, a: Value, n: number): Value =>
  w === 64 ? s.extractF64(a, n) : plain(F64, s.extractF32(a, n), F64_PROMOTE);

/** A double as an integer of 32 or 64 bits; the least one where it does not fit. */
function toInteger(h: Handler, x: Value, size: Width, truncates: boolean): Value {
  const d = h.code.local(F64);
  h.code.set(d, truncates ? x : plain(F64, x, F64_NEAREST));
  const t = h.let(plain(I64, d, ...I64_TRUNCATE_SATURATING));
  const ordered: Value = {
    type: I32,
    emit: (out) => {
      d.emit(out);
      d.emit(out);
      out.byte(0x61);
    },
  };
  if (size === 32) {
    const fits = v.and(ordered, v.eq(t, v.extendS(t, 32)));
    return h.let(v.select(fits, v.wrap(t), v.i32(-0x8000_0000)));
  }
  // The largest integer is no double: it stands for everything beyond.
  const fits = v.and(ordered, v.ne(t, v.i64((1n << 63n) - 1n)));
  return h.let(v.select(fits, t, v.i64(-(1n << 63n))));
}

const scalarConversions = ([32, 64] as const).flatMap((w) => {
  const letter = w === 32 ? "s" : "d";
  return ([32, 64] as const).flatMap((size) => [
    sse(`cvtsi${size}s${letter}`, LOAD, (h) => {
      requireDefaults(h);
      const x = h.read(1, size);
      const wide = size === 32 ? v.extendS(x, 32) : x;
      const lane = w === 64
        ? simd.splatF64(plain(F64, wide, F64_FROM_I64))
        : simd.splatF32(plain(F64, wide, F32_FROM_I64));
      storeScalar(h, w, lane);
    }),
    ...(["cvt", "cvtt"] as const).map((kind) =>
      sse(`${kind}s${letter}si${size}`, LOAD, (h) => {
        requireDefaults(h);
        const x = laneAsDouble(w, scalarOperand(h, w), 0);
        h.write(0, toInteger(h, x, size, kind === "cvtt"), size);
      })
    ),
  ]);
});

/** Four integers from their values. */
const vectorOf = (...words: Value[]): Value =>
  words.slice(1).reduce((sum, word, i) => s.replace32(sum, i + 1, word), simd.splat32(words[0]));

const toWords = (name: string, w: Width, truncates: boolean): Definition =>
  sse(name, LOAD, (h) => {
    requireDefaults(h);
    const b = h.readVector(1, true);
    const words = [0, 1, 2, 3].map((n) =>
      w === 64 && n > 1 ? v.i32(0) : toInteger(h, laneAsDouble(w, b, n), 32, truncates)
    );
    h.writeVector(0, vectorOf(...words), true);
  });

/** The source's 8 bytes in a vector, for conversions that widen. */
const half = (h: Handler): Value => h.let(simd.splat64(h.read(1, 64)));

/** See above. */
export const SSE_FLOATS: readonly Definition[] = [
  ...arithmetic("add", { 32: simd.addF32, 64: simd.addF64 }),
  ...arithmetic("sub", { 32: simd.subF32, 64: simd.subF64 }),
  ...arithmetic("mul", { 32: simd.mulF32, 64: simd.mulF64 }),
  ...arithmetic("div", { 32: simd.divF32, 64: simd.divF64 }),
  // The second operand where they are unordered or both 0: exactly the pseudo-minimum of (b, a).
  ...arithmetic("min", {
    32: (a, b) => simd.pminF32(b, a),
    64: (a, b) => simd.pminF64(b, a),
  }, false),
  ...arithmetic("max", {
    32: (a, b) => simd.pmaxF32(b, a),
    64: (a, b) => simd.pmaxF64(b, a),
  }, false),
  ...roots,
  ...comparisons,
  ...scalarConversions,
  sse("cvtss2sd", LOAD, (h) => {
    requireDefaults(h);
    storeScalar(h, 64, h.let(simd.promote(scalarOperand(h, 32))));
  }),
  sse("cvtsd2ss", LOAD, (h) => {
    requireDefaults(h);
    storeScalar(h, 32, h.let(simd.demote(scalarOperand(h, 64))));
  }),
  sse("cvtps2pd", LOAD, (h) => {
    requireDefaults(h);
    h.writeVector(0, simd.promote(half(h)), true);
  }),
  sse("cvtpd2ps", LOAD, (h) => {
    requireDefaults(h);
    h.writeVector(0, simd.demote(h.readVector(1, true)), true);
  }),
  sse("cvtdq2ps", LOAD, (h) => {
    requireDefaults(h);
    h.writeVector(0, simd.convertS32ToF32(h.readVector(1, true)), true);
  }),
  sse("cvtdq2pd", LOAD, (h) => {
    requireDefaults(h);
    h.writeVector(0, simd.convertLowS32ToF64(half(h)), true);
  }),
  toWords("cvtps2dq", 32, false),
  toWords("cvttps2dq", 32, true),
  toWords("cvtpd2dq", 64, false),
  toWords("cvttpd2dq", 64, true),
];
