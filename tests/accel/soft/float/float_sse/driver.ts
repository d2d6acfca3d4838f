/** Does with the functions under test what oracle.c does with instructions, a batch at a time. */

import { defineFloat80 } from "../../../../../hv/accel/soft/float/float80/define.ts";
import { defineFloatSse } from "../../../../../hv/accel/soft/float/float_sse/define.ts";
import type { SseLibrary } from "../../../../../hv/accel/soft/float/float_sse/signatures.ts";
import { Code, load, type MemoryRef } from "../../../../../hv/accel/soft/wasm/code.ts";
import { ModuleBuilder } from "../../../../../hv/accel/soft/wasm/module_builder.ts";
import * as v from "../../../../../hv/accel/soft/wasm/value.ts";
import { type Operation, OPERATIONS } from "./operations.ts";

export const BATCH = 4096;
export const REQUEST_BYTES = 24;
export const REPLY_BYTES = 16;
export const REQUEST = { operation: 0, mxcsr: 4, a: 8, b: 16 } as const;
export const REPLY = { result: 0, flags: 8, trapped: 12 } as const;
const REPLIES_AT = BATCH * REQUEST_BYTES;
const PAGES = Math.ceil((REPLIES_AT + BATCH * REPLY_BYTES) / 65536);
const TRUNCATE = 3 << 13;

const { I32, I64, i32 } = v;

/** See above. */
export interface Driver {
  readonly requests: Uint8Array;
  readonly replies: Uint8Array;
  run(operation: Operation, count: number): void;
}

export function createDriver(): Driver {
  const module = new ModuleBuilder();
  const memory = module.importMemory("memory", { pages: PAGES, wide: false });
  const lib = defineFloatSse(module, defineFloat80(module));
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

function batch(lib: SseLibrary, memory: MemoryRef, operation: Operation): Code {
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
  lib: SseLibrary,
  c: Code,
  memory: MemoryRef,
  { kind, function: name, width }: Operation,
  from: v.Value,
  to: v.Value,
): void {
  const operand = (at: number, bits: number) => c.let(load(memory, I64, bits, from, at));
  const a = operand(REQUEST.a, width);
  const b = operand(REQUEST.b, width);
  const mxcsr = c.let(load(memory, I32, 32, from, REQUEST.mxcsr));
  const answer = (result: v.Value, flags: v.Value) => {
    c.store(memory, 64, to, result, REPLY.result);
    c.store(memory, 32, to, v.and(v.or(flags, mxcsr), i32(0x3f)), REPLY.flags);
    const masks = v.shrU(mxcsr, i32(7));
    const unmasked = v.and(v.and(flags, i32(0x3f)), v.xor(masks, i32(-1)));
    c.store(memory, 32, to, v.ne(unmasked, i32(0)), REPLY.trapped);
  };
  const call = (...args: v.Value[]) => {
    const [result, flags] = lib.results(c, name, ...args);
    answer(result, flags);
  };
  switch (kind) {
    case "binary":
      return call(a, b, mxcsr);
    case "unary":
      return call(a, mxcsr);
    case "truncate":
      return call(a, v.or(mxcsr, i32(TRUNCATE)));
    case "fromInteger32":
      return call(v.extendS(operand(REQUEST.a, 32), 32), mxcsr);
    case "fromInteger64":
      return call(operand(REQUEST.a, 64), mxcsr);
    case "compare": {
      const report = c.let(lib.call(name, a, b, mxcsr));
      // CF, PF, ZF where EFLAGS has them.
      const flags = v.and(v.shrU(report, i32(8)), i32(0x45));
      return answer(v.extendU(flags), report);
    }
  }
}
