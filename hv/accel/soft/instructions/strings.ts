/**
 * String instructions (Intel SDM volume 2: CMPS, LODS, MOVS, SCAS, STOS with REP, REPE and REPNE).
 *
 * Each iteration is complete in itself: a fault or an interrupt between two leaves RSI, RDI and RCX
 * as after the first, and the instruction begins again.
 */

import * as flags from "../codegen/flags.ts";
import type { Handler } from "../codegen/handler.ts";
import { AddressKind, OP, SLOW_WRITE, Status } from "../codegen/operation.ts";
import { AT } from "../state/state.ts";
import * as v from "../wasm/value.ts";
import { I32, I64, type Value } from "../wasm/value.ts";
import { define, type Definition } from "./definition.ts";

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;

type Repeat = "" | "rep" | "repe" | "repne";

/** Address size: what is ANDed with an index, and what of a register stays when it is written. */
interface AddressSize {
  readonly mask: Value;
  readonly kept: Value;
}

function addressSize(h: Handler): AddressSize {
  const kind = h.let(h.opField(I32, 8, OP.kind));
  const is16 = h.let(v.eq(kind, v.i32(AddressKind.segment16)));
  const narrow = v.select(is16, v.i64(0xffff), v.i64(0xffff_ffff));
  const mask = h.let(v.select(v.leU(kind, v.i32(AddressKind.based)), v.i64(-1), narrow));
  const kept = h.let(v.select(is16, v.i64(-0x1_0000), v.i64(0)));
  return { mask, kept };
}

function advance(h: Handler, size: AddressSize, register: number, by: Value): void {
  const old = h.let(h.register(register, 64));
  const changed = v.and(v.add(old, by), size.mask);
  h.setRegister(register, v.or(v.and(old, size.kept), changed), 64);
}

const source = (h: Handler, isWrite = false): Value =>
  h.linearOf(h.register(RSI, 64), h.size >> 3, isWrite);

/** ES:rDI, which no prefix overrides. */
function destination(h: Handler, isWrite: boolean): Value {
  const linear = h.code.local(I64);
  h.code.set(linear, h.register(RDI, 64));
  const kind = h.opField(I32, 8, OP.kind);
  h.code.if(v.gtU(kind, v.i32(AddressKind.based)), () => {
    const info = v.i32((h.size >> 3) | (isWrite ? SLOW_WRITE : 0));
    h.code.set(linear, v.call(h.env.destined, I64, h.op, linear, info));
    h.code.if(v.eq(linear, v.i64(-1)), () => h.leave(Status.exception));
  });
  return linear;
}

/** +1, +2... or, with DF, -1, -2... */
const stride = (h: Handler): Value => {
  const down = v.and(h.field(I32, 32, AT.eflags), v.i32(flags.DF));
  const bytes = h.size >> 3;
  return h.let(v.select(down, v.i64(-bytes), v.i64(bytes)));
};

/** One iteration, in terms of what it does and which index registers move. */
interface Iteration {
  readonly body: (h: Handler) => void;
  readonly moves: readonly number[];
  readonly compares: boolean;
}

const ITERATIONS: Readonly<Record<string, Iteration>> = {
  movs: {
    body: (h) => {
      const value = h.loadMemory(source(h), h.size);
      h.storeMemory(destination(h, true), value, h.size);
    },
    moves: [RSI, RDI],
    compares: false,
  },
  stos: {
    body: (h) => h.storeMemory(destination(h, true), h.let(h.register(RAX, h.size)), h.size),
    moves: [RDI],
    compares: false,
  },
  lods: {
    body: (h) => h.setRegister(RAX, h.loadMemory(source(h), h.size), h.size),
    moves: [RSI],
    compares: false,
  },
  scas: {
    body: (h) => {
      const b = h.loadMemory(destination(h, false), h.size);
      const a = h.let(h.register(RAX, h.size));
      flags.setSubFlags(h, a, b, h.let(h.cut(v.sub(a, b))));
    },
    moves: [RDI],
    compares: true,
  },
  cmps: {
    body: (h) => {
      // In this order: when neither can be read, it is ES:rDI that faults.
      const b = h.loadMemory(destination(h, false), h.size);
      const a = h.loadMemory(source(h), h.size);
      flags.setSubFlags(h, a, b, h.let(h.cut(v.sub(a, b))));
    },
    moves: [RSI, RDI],
    compares: true,
  },
};

function repeated(h: Handler, { body, moves, compares }: Iteration, repeat: Repeat): void {
  const { code } = h;
  const size = addressSize(h);
  const by = stride(h);
  const count = code.local(I64);
  code.set(count, v.and(h.register(RCX, 64), size.mask));
  code.block((done) => {
    code.branchIf(done, v.eqz(count));
    code.loop((again) => {
      body(h);
      for (const register of moves) advance(h, size, register, by);
      advance(h, size, RCX, v.i64(-1));
      code.set(count, v.sub(count, v.i64(1)));
      code.branchIf(done, v.eqz(count));
      if (compares) {
        // REPE (condition z) goes on while equal, REPNE (nz) while not.
        code.branchIf(done, flags.condition(h, repeat === "repe" ? 5 : 4));
      }
      code.branchIf(again, v.eqz(h.field(I32, 32, AT.pending)));
    });
    h.leave(Status.pendingHere);
  });
  // With 32-bit addresses a count of 0 still clears RCX's upper half on no processor: nothing here.
}

const instruction = (name: string, repeat: Repeat): Definition =>
  define(repeat === "" ? name : `${repeat}_${name}`, ["m"], (h) => {
    const iteration = ITERATIONS[name];
    if (repeat !== "") return repeated(h, iteration, repeat);
    iteration.body(h);
    const size = addressSize(h);
    const by = stride(h);
    for (const register of iteration.moves) advance(h, size, register, by);
  });

/** See above. */
export const STRINGS: readonly Definition[] = Object.entries(ITERATIONS).flatMap((
  [name, { compares }],
) =>
  (compares ? ["", "repe", "repne"] as const : ["", "rep"] as const).map((repeat) =>
    instruction(name, repeat)
  )
);
