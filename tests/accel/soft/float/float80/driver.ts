/**
 * A module that does what oracle.c does, with the functions under test: for each operation a
 * function that goes through a batch of requests in memory and writes the replies, in the same
 * layout. What the CPU will do around the functions (not storing after an unmasked exception) is
 * done here.
 */

import { defineFloat80 } from "../../../../../hv/accel/soft/float/float80/define.ts";
import { Flag } from "../../../../../hv/accel/soft/float/float80/format.ts";
import type { Float80Library } from "../../../../../hv/accel/soft/float/float80/library.ts";
import { Code, load, type MemoryRef } from "../../../../../hv/accel/soft/wasm/code.ts";
import { ModuleBuilder } from "../../../../../hv/accel/soft/wasm/module_builder.ts";
import * as v from "../../../../../hv/accel/soft/wasm/value.ts";
import type { Value } from "../../../../../hv/accel/soft/wasm/value.ts";
import { type Operation, OPERATIONS } from "./operations.ts";

export const BATCH = 4096;
export const REQUEST_BYTES = 24;
export const REPLY_BYTES = 40;
/** Offsets in a request. */
export const REQUEST = { operation: 0, control: 2, a: 4, b: 14 } as const;
/** Offsets in a reply. */
export const REPLY = { status: 0, st0: 4, st1: 14, memory: 24 } as const;
const REPLIES_AT = BATCH * REQUEST_BYTES;
const PAGES = Math.ceil((REPLIES_AT + BATCH * REPLY_BYTES) / 65536);
/** What oracle.c fills the memory operand with. */
const UNTOUCHED = 0xa5;

const { I32, I64, i32, i64 } = v;

/** See above. */
export interface Driver {
  readonly requests: Uint8Array;
  readonly replies: Uint8Array;
  /** Runs the first `count` requests, which must all be of this operation. */
  run(operation: Operation, count: number): void;
}

export function createDriver(): Driver {
  const module = new ModuleBuilder();
  const memory = module.importMemory("memory", { pages: PAGES, wide: false });
  const lib = defineFloat80(module);
  for (const operation of OPERATIONS) {
    const index = module.declare([I32], []);
    module.define(index, batch(lib, memory, operation));
    module.export(operation.name, index);
  }
  const shared = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.build()), {
    host: { memory: shared },
  });
  return {
    requests: new Uint8Array(shared.buffer, 0, REPLIES_AT),
    replies: new Uint8Array(shared.buffer, REPLIES_AT, BATCH * REPLY_BYTES),
    run: ({ name }, count) => (instance.exports[name] as (count: number) => void)(count),
  };
}

function batch(lib: Float80Library, memory: MemoryRef, operation: Operation): Code {
  const c = new Code([I32]);
  const count = c.parameter(0);
  const from = c.local(I32);
  const to = c.local(I32);
  c.set(to, i32(REPLIES_AT));
  c.block((done) => {
    c.loop((again) => {
      c.branchIf(done, v.eqz(count));
      one(lib, c, memory, operation, from, to);
      c.set(from, v.add(from, i32(REQUEST_BYTES)));
      c.set(to, v.add(to, i32(REPLY_BYTES)));
      c.set(count, v.sub(count, i32(1)));
      c.branch(again);
    });
  });
  return c;
}

function one(
  lib: Float80Library,
  c: Code,
  memory: MemoryRef,
  { kind, function: name, number }: Operation,
  from: Value,
  to: Value,
): void {
  const real = (at: number): [Value, Value] => [
    c.let(load(memory, I64, 64, from, at)),
    c.let(load(memory, I32, 16, from, at + 8)),
  ];
  const a = real(REQUEST.a);
  const b = real(REQUEST.b);
  const control = c.let(load(memory, I32, 16, from, REQUEST.control));
  const put = (at: number, [significand, se]: readonly Value[]) => {
    c.store(memory, 64, to, significand, at);
    c.store(memory, 16, to, se, at + 8);
  };
  const report = (flags: Value) => c.store(memory, 16, to, flags, REPLY.status);
  const flagsOf = (packed: Value) => v.shrU(packed, i32(16));
  /** Runs `then` unless one of these is raised and unmasked. */
  const unless = (packed: Value, stopping: number, then: () => void) => {
    const unmasked = v.and(flagsOf(packed), v.xor(control, i32(-1)));
    c.if(v.eqz(v.and(unmasked, i32(stopping))), then);
  };
  const memoryOperand = (bits: 32 | 64) => {
    const [m, packed] = lib.results(c, `widenFloat${bits}`, bits === 32 ? v.wrap(b[0]) : b[0]);
    return {
      value: [m, v.and(packed, i32(0xffff))],
      widened: v.and(packed, i32(-65536)),
    };
  };
  const before = Flag.IE | Flag.DE | Flag.ZE;
  report(i32(0));
  put(REPLY.st0, a);
  put(REPLY.st1, b);
  for (const at of [0, 2]) {
    put(REPLY.memory + at, [i64(-0x5a5a5a5a5a5a5a5bn), i32(UNTOUCHED * 0x101)]);
  }

  switch (kind) {
    case "binary":
    case "unary": {
      const operands = kind === "binary" ? [...a, ...b] : a;
      const [m, packed] = lib.results(c, name, ...operands, control);
      report(flagsOf(packed));
      unless(packed, before, () => put(REPLY.st0, [m, packed]));
      return;
    }
    case "popping": {
      const [m, packed] = lib.results(c, name, ...a, ...b, control);
      report(flagsOf(packed));
      unless(packed, before, () => put(REPLY.st0, [m, packed]));
      return;
    }
    case "binaryMemory32":
    case "binaryMemory64": {
      const { value, widened } = memoryOperand(kind === "binaryMemory32" ? 32 : 64);
      const all = v.or(control, widened);
      const [m, packed] = lib.results(c, name, ...a, ...value, all);
      const onlyDe = v.and(v.and(flagsOf(packed), v.xor(control, i32(-1))), i32(Flag.DE));
      report(v.select(onlyDe, i32(Flag.DE), flagsOf(packed)));
      unless(packed, before, () => put(REPLY.st0, [m, packed]));
      return;
    }
    case "compareMemory32":
    case "compareMemory64": {
      const { value, widened } = memoryOperand(kind === "compareMemory32" ? 32 : 64);
      return report(lib.call(name, ...a, ...value, v.or(control, widened)));
    }
    case "compare":
      return report(lib.call(name, ...a, ...b, control));
    case "compareZero":
      return report(lib.call(name, ...a, i64(0), i32(0), control));
    case "examine":
      return report(lib.call(name, ...a));
    case "store16":
    case "store32":
    case "store64":
    case "store80": {
      const bits = Number(kind.slice(5));
      const [low, packed] = lib.results(c, name, ...a, control);
      report(flagsOf(packed));
      unless(packed, before | Flag.OE | Flag.UE, () => {
        if (bits === 80) put(REPLY.memory, [low, packed]);
        else c.store(memory, bits, to, low, REPLY.memory);
      });
      return;
    }
    case "integer16":
    case "integer32":
    case "integer64": {
      const bits = Number(kind.slice(7));
      const value = bits === 64 ? a[0] : v.extendS(a[0], bits);
      return put(REPLY.st0, lib.results(c, name, value));
    }
    case "load32":
    case "load64": {
      const bits = kind === "load32" ? v.wrap(a[0]) : a[0];
      const [m, packed] = lib.results(c, name, bits);
      report(flagsOf(packed));
      return put(REPLY.st0, [m, packed]);
    }
    case "load80":
      return put(REPLY.st0, lib.results(c, name, ...a));
    case "constant":
      return put(REPLY.st0, lib.results(c, name, i32(number - 25), control));
    case "pair": {
      const [m1, packed, m0, se0] = lib.results(c, name, ...a, control);
      report(flagsOf(packed));
      unless(packed, before, () => {
        put(REPLY.st0, [m0, se0]);
        put(REPLY.st1, [m1, packed]);
      });
      return;
    }
    case "twins": {
      const [m1, packed, m0, se0] = lib.results(c, name, ...a, control);
      report(flagsOf(packed));
      unless(packed, before, () => {
        put(REPLY.st0, [m0, se0]);
        const outOfRange = v.and(flagsOf(packed), i32(Flag.C2));
        c.if(v.eqz(outOfRange), () => put(REPLY.st1, [m1, packed]));
      });
      return;
    }
  }
}
