/**
 * The interpreter as a WebAssembly module: one small function for each instruction, size and form,
 * which does its work and goes on to the next operation's function by a tail call. V8 compiles each
 * when it is first used, and again, optimized, when it is hot.
 *
 * Imports: `state` (memory 0), `guest` (the machine's memory), the functions slow, service and find
 * (see cpu.ts), and those of SSE_IMPORTS. Exports: `enter`, which runs from `rip` until it returns a `Status`, and `start`,
 * which runs one given block first.
 */

import { AddressKind, OP, SLOW_WRITE, Status } from "./codegen/operation.ts";
import { BLOCK_HEADER_BYTES, HEADER } from "./blocks/header.ts";
import { SSE_IMPORTS } from "./float/module.ts";
import { type Environment, Handler, type Size } from "./codegen/handler.ts";
import { ARITHMETIC_INSTRUCTIONS } from "./instructions/arithmetic.ts";
import { BITS } from "./instructions/bits.ts";
import { CONTROL_FLOW } from "./instructions/control_flow.ts";
import { DATA_MOVES } from "./instructions/data_moves.ts";
import { MMX } from "./instructions/mmx.ts";
import {
  type Definition,
  handlerKey,
  isLockedName,
  lockedName,
} from "./instructions/definition.ts";
import { MULTIPLICATIONS } from "./instructions/multiply.ts";
import { SERVICES } from "./instructions/services.ts";
import { SSE } from "./instructions/sse/mod.ts";
import { STRING_COMPARISON, stringComparison } from "./instructions/sse/string_compare.ts";
import { SHIFTS } from "./instructions/shifts.ts";
import { STRINGS } from "./instructions/strings.ts";
import {
  AT,
  BLOCKS_BASE,
  JUMP_CACHE_BASE,
  JUMP_CACHE_ENTRIES,
  PRIVATE_BYTES,
  Seg,
  SEGMENT,
  segmentAt,
} from "./state/state.ts";
import { Code, load, type MemoryRef } from "./wasm/code.ts";
import { ModuleBuilder } from "./wasm/module_builder.ts";
import * as v from "./wasm/value.ts";
import { I32, I64, type Value } from "./wasm/value.ts";

const WASM_PAGE = 65536;
const PAGE_MASK = -4096;
/** What `find` returns instead of a block, which lies above: a status. */
const STATUS_LIMIT = 16;
const UNDEFINED_OPCODE = 6;
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;

const DEFINITIONS: readonly Definition[] = [
  ...ARITHMETIC_INSTRUCTIONS,
  ...BITS,
  ...CONTROL_FLOW,
  ...DATA_MOVES,
  ...MMX,
  ...MULTIPLICATIONS,
  ...SERVICES,
  ...SHIFTS,
  ...SSE,
  ...STRINGS,
];

/** Instructions that may have LOCK, when their first operand is in memory. */
const LOCKABLE: ReadonlySet<string> = new Set(
  "add or adc sbb and sub xor inc dec not neg bts btr btc cmpxchg xadd xchg".split(" "),
);

/** The definitions once more for LOCK: apart, so that those without it cost what they did. */
const LOCKED: readonly Definition[] = DEFINITIONS.filter(({ name }) => LOCKABLE.has(name)).map((
  definition,
) => ({
  ...definition,
  name: lockedName(definition.name),
  forms: definition.forms.filter((form) => form.startsWith("m")),
}));
const ALL_DEFINITIONS: readonly Definition[] = [...DEFINITIONS, ...LOCKED];

/** Handlers that no instruction names. */
export const SPECIAL_HANDLERS = ["undefined", "missing", "stop", "stale", "count"] as const;

/** A definition in one size and form. */
export interface HandlerVariant {
  readonly definition: Definition;
  readonly size: Size;
  readonly form: string;
}

/** Every handler that an instruction names, in the order of the table. */
const VARIANTS: readonly HandlerVariant[] = ALL_DEFINITIONS.flatMap((definition) =>
  definition.sizes.flatMap((size) => definition.forms.map((form) => ({ definition, size, form })))
);

/** Place in the table of functions of every handler, by `handlerKey` or special name. */
export const HANDLERS: ReadonlyMap<string, number> = new Map(
  [
    ...SPECIAL_HANDLERS,
    ...VARIANTS.map(({ definition, size, form }) => handlerKey(definition.name, size, form)),
  ].map((key, i) => [key, i]),
);

/** What the handler at a place in the table is; undefined for special ones. */
export const variantAt = (place: number): HandlerVariant | undefined =>
  VARIANTS[place - SPECIAL_HANDLERS.length];

/** Places in the table for translated code (translator/), behind those of the handlers. */
export const REGION_PLACES = 8192;
export const FIRST_REGION_PLACE: number = HANDLERS.size;
/** Functions of the interpreter that translated code calls, as they are exported. */
export const SHARED_FUNCTIONS = {
  enter: [[], [I32]],
  segmented: [[I32, I64, I32], [I64]],
  destined: [[I32, I64, I32], [I64]],
  stacked: [[I64, I32], [I64]],
  multiplyHigh: [[I64, I64], [I64]],
  compareBytes: STRING_COMPARISON,
  compareWords: STRING_COMPARISON,
} as const;
/** The module for machines with `guestPages` (64 KiB) of memory. */
export function buildInterpreter(guestPages: number, wide: boolean): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const slow = module.importFunction("slow", [I32], [I32]);
  const service = module.importFunction("service", [I32], [I32]);
  const find = module.importFunction("find", [], [I32]);
  const hot = module.importFunction("hot", [I32], []);
  const floats = new Map(SSE_IMPORTS.map(([name, [parameters, results]]) => [
    name,
    module.importFunction(name, parameters, results),
  ]));
  const state = module.importMemory("state", { pages: PRIVATE_BYTES / WASM_PAGE, wide: false });
  const guest = module.importMemory("guest", { pages: guestPages, wide });
  const handlerType = module.type([I32], [I32]);
  const bounds = module.declare([I32, I64, I32], [I64]);
  const env: Environment = {
    state,
    guest,
    slow,
    service,
    floats,
    handlerType,
    segmented: module.declare(...SHARED_FUNCTIONS.segmented),
    destined: module.declare(...SHARED_FUNCTIONS.destined),
    stacked: module.declare(...SHARED_FUNCTIONS.stacked),
    multiplyHigh: module.declare(...SHARED_FUNCTIONS.multiplyHigh),
    compareBytes: module.declare(...SHARED_FUNCTIONS.compareBytes),
    compareWords: module.declare(...SHARED_FUNCTIONS.compareWords),
    enter: module.declare(...SHARED_FUNCTIONS.enter),
  };
  module.define(bounds, boundsFunction(state));
  module.define(env.segmented, segmentedFunction(state, bounds));
  module.define(env.destined, destinedFunction(state, bounds));
  module.define(env.stacked, stackedFunction(state, bounds));
  module.define(env.multiplyHigh, multiplyHighFunction());
  module.define(env.compareBytes, stringComparison(8));
  module.define(env.compareWords, stringComparison(16));
  module.define(env.enter, enterFunction(env, find));
  for (const name of Object.keys(SHARED_FUNCTIONS) as (keyof typeof SHARED_FUNCTIONS)[]) {
    module.export(name, env[name]);
  }
  module.exportTable("table", REGION_PLACES);
  const start = module.declare([I32], [I32]);
  module.define(start, startFunction(env));
  module.export("start", start);

  for (const name of SPECIAL_HANDLERS) {
    addHandler(module, special(new Handler(env, 64, ""), name, hot));
  }
  for (const { definition: { name, body, leaves }, size, form } of VARIANTS) {
    const handler = new Handler(env, size, form, isLockedName(name));
    try {
      body(handler);
    } catch (error) {
      throw new Error(`Cannot generate ${handlerKey(name, size, form)}`, { cause: error });
    }
    if (leaves) handler.code.unreachable();
    else handler.next();
    addHandler(module, handler);
  }
  return module.build();
}

function addHandler(module: ModuleBuilder, handler: Handler): void {
  const index = module.declare([I32], [I32]);
  module.define(index, handler.code);
  module.addToTable(index);
}

function special(h: Handler, name: typeof SPECIAL_HANDLERS[number], hot: number): Handler {
  const here = () => v.add(h.field(I64, 64, AT.blockRip), h.opField(I64, 16, OP.start));
  switch (name) {
    case "undefined":
      h.raise(UNDEFINED_OPCODE);
      break;
    case "missing":
      h.leave(Status.failed);
      break;
    case "stop":
      h.setField(64, AT.rip, here());
      h.leave(Status.pending);
      break;
    case "stale":
      forgetStale(h, here);
      break;
    case "count":
      countExecution(h, hot);
      break;
  }
  return h;
}

/**
 * A block that was overwritten: what is there now is looked up. The jump cache may still lead here, and
 * hears of it now.
 */
function forgetStale(h: Handler, here: () => Value): void {
  const { state } = h.env;
  const rip = h.let(here());
  const entry = h.let(jumpEntry(v.add(rip, h.field(I64, 64, segmentAt(Seg.cs) + SEGMENT.base))));
  const block = v.add(at(state, I32, 32, entry, JUMP_CACHE_BASE + 12), v.i32(BLOCK_HEADER_BYTES));
  h.code.if(v.eq(block, h.op), () => {
    h.code.store(state, 32, entry, v.i32(-1), JUMP_CACHE_BASE + 8);
  });
  h.jump(rip);
}

/** Offset of the entry of the jump cache for a linear address. */
function jumpEntry(linear: Value): Value {
  const mixed = v.wrap(v.xor(linear, v.shrU(linear, v.i64(11))));
  return v.shl(v.and(mixed, v.i32(JUMP_CACHE_ENTRIES - 1)), v.i32(4));
}

/** The first operation of a block that may become hot: counts down, then does what it is to do. */
function countExecution(h: Handler, hot: number): void {
  const { state } = h.env;
  const block = h.let(v.sub(h.op, v.i32(BLOCK_HEADER_BYTES)));
  const left = h.let(v.sub(at(state, I32, 32, block, HEADER.count), v.i32(1)));
  h.code.store(state, 32, block, left, HEADER.count);
  h.code.if(v.eqz(left), () => {
    h.code.callAndDrop(hot, 0, block);
    h.goTo(h.op);
  });
  h.code.tailCallIndirect(
    h.env.handlerType,
    at(state, I32, 32, block, HEADER.firstHandler),
    h.op,
  );
}

const at = (state: MemoryRef, type: v.Type, bits: number, address: Value, offset = 0): Value =>
  load(state, type, bits, address, offset);

const zero = v.i32(0);

/** (segment, offset, info) → linear address within the bounds, or -1 and #SS(0) or #GP(0). */
function boundsFunction(state: MemoryRef): Code {
  const code = new Code([I32, I64, I32]);
  const segment = code.parameter(0);
  const offset = code.parameter(1);
  const info = code.parameter(2);
  const bytes = v.extendU(v.and(info, v.i32(0xff)));
  const last = code.let(v.add(offset, v.sub(bytes, v.i64(1))));
  // The pair of bounds for writing follows the one for reading.
  const pair = code.let(
    v.add(segment, v.select(v.and(info, v.i32(SLOW_WRITE)), v.i32(16), zero)),
  );
  const outside = v.or(
    v.ltU(offset, at(state, I64, 64, pair, SEGMENT.readLow)),
    v.gtU(last, at(state, I64, 64, pair, SEGMENT.readHigh)),
  );
  code.if(outside, () => {
    const vector = v.select(
      v.eq(segment, v.i32(segmentAt(Seg.ss))),
      v.i32(STACK_FAULT),
      v.i32(GENERAL_PROTECTION),
    );
    code.store(state, 8, zero, vector, AT.exceptionVector);
    code.store(state, 8, zero, v.i32(1), AT.exceptionHasError);
    code.store(state, 32, zero, zero, AT.exceptionError);
    code.return(v.i64(-1));
  });
  const base = at(state, I64, 64, segment, SEGMENT.base);
  code.return(v.and(v.add(offset, base), v.i64(0xffff_ffff)));
  return code;
}

/** (op, offset, info): the memory operand. */
function segmentedFunction(state: MemoryRef, bounds: number): Code {
  const code = new Code([I32, I64, I32]);
  const op = code.parameter(0);
  const offset = code.parameter(1);
  const kind = code.let(at(state, I32, 8, op, OP.kind));
  const segment = code.let(at(state, I32, 16, op, OP.segment));
  const base = at(state, I64, 64, segment, SEGMENT.base);
  code.if(v.eq(kind, v.i32(AddressKind.based)), () => code.return(v.add(offset, base)));
  const mask = v.select(
    v.eq(kind, v.i32(AddressKind.segment16)),
    v.i64(0xffff),
    v.i64(0xffff_ffff),
  );
  code.set(offset, v.and(offset, mask));
  code.if(v.eq(kind, v.i32(AddressKind.flat32)), () => code.return(offset));
  code.if(v.eq(kind, v.i32(AddressKind.based32)), () => code.return(v.add(offset, base)));
  code.return(v.call(bounds, I64, segment, offset, code.parameter(2)));
  return code;
}

/** (op, offset, info): ES with the operation's address size. */
function destinedFunction(state: MemoryRef, bounds: number): Code {
  const code = new Code([I32, I64, I32]);
  const offset = code.parameter(1);
  const kind = code.let(at(state, I32, 8, code.parameter(0), OP.kind));
  const mask = v.select(
    v.eq(kind, v.i32(AddressKind.segment16)),
    v.i64(0xffff),
    v.i64(0xffff_ffff),
  );
  code.set(offset, v.and(offset, mask));
  code.if(v.eq(kind, v.i32(AddressKind.based32)), () => code.return(offset));
  code.return(v.call(bounds, I64, v.i32(segmentAt(Seg.es)), offset, code.parameter(2)));
  return code;
}

/** (offset, info): the stack outside of 64-bit mode. */
function stackedFunction(state: MemoryRef, bounds: number): Code {
  const code = new Code([I64, I32]);
  const offset = v.and(code.parameter(0), at(state, I64, 64, zero, AT.stackMask));
  code.return(v.call(bounds, I64, v.i32(segmentAt(Seg.ss)), offset, code.parameter(1)));
  return code;
}

/** (a, b) → upper 64 bits of the unsigned product, from four products of 32 bits. */
function multiplyHighFunction(): Code {
  const code = new Code([I64, I64]);
  const half = (x: Value) => v.and(x, v.i64(0xffff_ffff));
  const upper = (x: Value) => v.shrU(x, v.i64(32));
  const [a, b] = [code.parameter(0), code.parameter(1)];
  const al = code.let(half(a));
  const ah = code.let(upper(a));
  const bl = code.let(half(b));
  const bh = code.let(upper(b));
  const middle = code.let(v.add(v.mul(ah, bl), upper(v.mul(al, bl))));
  const other = code.let(v.add(v.mul(al, bh), half(middle)));
  code.return(v.add(v.add(v.mul(ah, bh), upper(middle)), upper(other)));
  return code;
}

/** () → status: runs from `rip`. */
function enterFunction(env: Environment, find: number): Code {
  const code = new Code([]);
  const { state } = env;
  const field = (type: v.Type, bits: number, offset: number) => at(state, type, bits, zero, offset);
  const forgetLink = () => code.store(state, 32, zero, zero, AT.link);
  code.if(field(I32, 32, AT.pending), () => {
    forgetLink();
    code.return(v.i32(Status.pending));
  });
  const rip = code.let(field(I64, 64, AT.rip));
  const base = code.let(field(I64, 64, segmentAt(Seg.cs) + SEGMENT.base));
  const linear = code.let(v.add(rip, base));
  const entry = code.let(jumpEntry(linear));
  const hit = v.and(
    v.eq(at(state, I64, 64, entry, JUMP_CACHE_BASE), linear),
    v.eq(at(state, I32, 32, entry, JUMP_CACHE_BASE + 8), field(I32, 32, AT.modeKey)),
  );
  const block = code.local(I32);
  code.if(
    hit,
    () => code.set(block, at(state, I32, 32, entry, JUMP_CACHE_BASE + 12)),
    () => {
      code.set(block, v.call(find, I32));
      code.if(v.ltU(block, v.i32(STATUS_LIMIT)), () => {
        forgetLink();
        code.return(block);
      });
    },
  );
  const first = code.let(v.add(block, v.i32(BLOCK_HEADER_BYTES)));
  // A link holds for this one transition; `find` clears it when it forgets blocks. Blocks that lie
  // in one page of memory and one linear page follow each other wherever they are mapped.
  const link = code.let(field(I32, 32, AT.link));
  const page = code.let(at(state, I32, 32, block, HEADER.linkPage));
  code.if(link, () => {
    const before = v.add(field(I64, 64, AT.blockRip), base);
    const apart = v.and(v.xor(linear, before), v.i64(PAGE_MASK));
    const samePage = v.eq(page, field(I32, 32, AT.blockPage));
    const linkable = v.and(v.geU(block, v.i32(BLOCKS_BASE)), v.and(samePage, v.eqz(apart)));
    code.if(linkable, () => code.store(state, 32, link, first));
    forgetLink();
  });
  code.store(state, 32, zero, page, AT.blockPage);
  code.store(state, 64, zero, rip, AT.blockRip);
  code.tailCallIndirect(env.handlerType, at(state, I32, 32, first, OP.handler), first);
  return code;
}

/** (block) → status: runs the block as the code at `rip`. */
function startFunction(env: Environment): Code {
  const code = new Code([I32]);
  const first = code.let(v.add(code.parameter(0), v.i32(BLOCK_HEADER_BYTES)));
  code.store(env.state, 64, zero, at(env.state, I64, 64, zero, AT.rip), AT.blockRip);
  code.store(env.state, 32, zero, at(env.state, I32, 32, code.parameter(0)), AT.blockPage);
  code.tailCallIndirect(env.handlerType, at(env.state, I32, 32, first, OP.handler), first);
  return code;
}
