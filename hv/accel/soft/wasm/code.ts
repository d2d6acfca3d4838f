/**
 * The body of a function: statements in order, with structured control flow. Expressions come from
 * value.ts; this adds locals, loads and stores, branches.
 */

import { ByteWriter } from "./byte_writer.ts";
import { I32, I64, type Type, type Value, zeroOf } from "./value.ts";

/** A memory of the module. */
export interface MemoryRef {
  /** Index in the module's index space. */
  readonly index: number;
  /** Addresses have 64 bits. */
  readonly wide: boolean;
}

/** A place to branch to, in the function that made it. */
export interface Label {
  readonly depth: number;
}

/** A variable of the function. */
export interface Local extends Value {
  readonly index: number;
}

/** Opcode of a load by its type and width in bits; narrower loads zero-extend. */
const LOAD = new Map<string, number>([
  [`${I32}.8`, 0x2d],
  [`${I32}.16`, 0x2f],
  [`${I32}.32`, 0x28],
  [`${I64}.8`, 0x31],
  [`${I64}.16`, 0x33],
  [`${I64}.32`, 0x35],
  [`${I64}.64`, 0x29],
]);
const LOAD_SIGNED = new Map<string, number>([
  [`${I32}.8`, 0x2c],
  [`${I32}.16`, 0x2e],
  [`${I64}.8`, 0x30],
  [`${I64}.16`, 0x32],
  [`${I64}.32`, 0x34],
]);
const STORE = new Map<string, number>([
  [`${I32}.8`, 0x3a],
  [`${I32}.16`, 0x3b],
  [`${I32}.32`, 0x36],
  [`${I64}.8`, 0x3c],
  [`${I64}.16`, 0x3d],
  [`${I64}.32`, 0x3e],
  [`${I64}.64`, 0x37],
]);

const MULTI_MEMORY = 0x40;

/** Writes the alignment, memory and offset of an access. */
export function immediate(out: ByteWriter, memory: MemoryRef, offset: number): void {
  // Alignment 0: guests align as they like, and it is only a hint.
  if (memory.index === 0) out.byte(0);
  else {
    out.byte(MULTI_MEMORY);
    out.unsigned(memory.index);
  }
  out.unsigned(offset);
}

/** A load of `bits` from `memory`, zero-extended to `type` (or sign-extended). */
export function load(
  memory: MemoryRef,
  type: Type,
  bits: number,
  address: Value,
  offset = 0,
  isSigned = false,
): Value {
  const opcode = (isSigned ? LOAD_SIGNED : LOAD).get(`${type}.${bits}`) ??
    LOAD.get(`${type}.${bits}`);
  if (opcode === undefined) throw new TypeError(`Cannot load ${bits} bits as type ${type}`);
  return {
    type,
    emit: (out) => {
      address.emit(out);
      out.byte(opcode);
      immediate(out, memory, offset);
    },
  };
}

/** See above. */
export class Code {
  readonly #parameters: readonly Type[];
  #isRepeated = false;
  readonly #locals: Type[] = [];
  /** Variables that may be used again, and those made since the last `reuse`. */
  readonly #free = new Map<Type, number[]>();
  #made: Local[] = [];
  #out: ByteWriter = new ByteWriter(256);
  #before: ByteWriter | undefined;
  #depth = 0;

  constructor(parameters: readonly Type[]) {
    this.#parameters = parameters;
  }

  /** From here on, code that makes a variable may run several times, and finds it 0 every time. */
  repeat(): void {
    this.#isRepeated = true;
  }

  /** The code so far. */
  get out(): ByteWriter {
    return this.#out;
  }

  /** Writes what comes before all else, once it is known. */
  prologue(write: () => void): void {
    const body = this.#out;
    this.#out = this.#before = new ByteWriter(256);
    write();
    this.#out = body;
  }

  /** Variables that `body` makes may be used again for others after it, in code that is repeated. */
  reuse(body: () => void): void {
    const outer = this.#made;
    this.#made = [];
    body();
    for (const { type, index } of this.#made) {
      const list = this.#free.get(type);
      if (list === undefined) this.#free.set(type, [index]);
      else list.push(index);
    }
    this.#made = outer;
  }

  /** The `n`th parameter. */
  parameter(n: number): Local {
    return this.#local(n, this.#parameters[n]);
  }

  /** A new variable, 0 at first. */
  local(type: Type): Local {
    const local = this.#allocate(type);
    if (this.#isRepeated) this.set(local, zeroOf(type));
    return local;
  }

  /** A new variable that has any value until it is set. */
  unset(type: Type): Local {
    return this.#allocate(type);
  }

  /** A new variable that holds `value`; a constant needs none. */
  let(value: Value): Value {
    if (value.constant !== undefined) return value;
    const local = this.#allocate(value.type);
    this.set(local, value);
    return local;
  }

  set(local: Local, value: Value): void {
    if (local.type !== value.type) throw new TypeError("Cannot set a local to another type");
    value.emit(this.out);
    this.out.byte(0x21);
    this.out.unsigned(local.index);
  }

  /** Stores the low `bits` of `value`. */
  store(memory: MemoryRef, bits: number, address: Value, value: Value, offset = 0): void {
    const opcode = STORE.get(`${value.type}.${bits}`);
    if (opcode === undefined) throw new TypeError(`Cannot store ${bits} bits of ${value.type}`);
    address.emit(this.out);
    value.emit(this.out);
    this.out.byte(opcode);
    immediate(this.out, memory, offset);
  }

  if(condition: Value, then: () => void, otherwise?: () => void): void {
    if (condition.constant !== undefined) {
      if (condition.constant !== 0n) then();
      else otherwise?.();
      return;
    }
    condition.emit(this.out);
    this.out.byte(0x04);
    this.out.byte(0x40);
    this.#depth++;
    then();
    if (otherwise !== undefined) {
      this.out.byte(0x05);
      otherwise();
    }
    this.#end();
  }

  /** Branching to the label leaves the block. */
  block(body: (label: Label) => void): void {
    this.#nest(0x02, body);
  }

  /** Branching to the label begins the loop again; reaching its end leaves it. */
  loop(body: (label: Label) => void): void {
    this.#nest(0x03, body);
  }

  branch(label: Label): void {
    this.out.byte(0x0c);
    this.out.unsigned(this.#depth - label.depth);
  }

  /** Branches to the label that `which` (i32) counts; to the last if it is beyond. */
  branchTable(labels: readonly Label[], which: Value): void {
    which.emit(this.out);
    this.out.byte(0x0e);
    this.out.unsigned(labels.length - 1);
    for (const label of labels) this.out.unsigned(this.#depth - label.depth);
  }

  branchIf(label: Label, condition: Value): void {
    condition.emit(this.out);
    this.out.byte(0x0d);
    this.out.unsigned(this.#depth - label.depth);
  }

  return(...values: Value[]): void {
    for (const value of values) value.emit(this.out);
    this.out.byte(0x0f);
  }

  /** Calls function `index`, whose results (if any) are dropped. */
  callAndDrop(index: number, results: number, ...args: Value[]): void {
    for (const arg of args) arg.emit(this.out);
    this.out.byte(0x10);
    this.out.unsigned(index);
    for (let i = 0; i < results; i++) this.out.byte(0x1a);
  }

  /** Calls function `index` and puts each of its results into a variable. */
  callInto(index: number, results: readonly Local[], ...args: Value[]): void {
    this.callAndDrop(index, 0, ...args);
    for (const { index } of results.toReversed()) {
      this.out.byte(0x21);
      this.out.unsigned(index);
    }
  }

  /** Leaves the function by calling function `index` in its place. */
  tailCall(index: number, ...args: Value[]): void {
    for (const arg of args) arg.emit(this.out);
    this.out.byte(0x12);
    this.out.unsigned(index);
  }

  /** Leaves the function by calling in its place the one that `entry` (i32) of table 0 holds. */
  tailCallIndirect(typeIndex: number, entry: Value, ...args: Value[]): void {
    for (const arg of args) arg.emit(this.out);
    entry.emit(this.out);
    this.out.byte(0x13);
    this.out.unsigned(typeIndex);
    this.out.byte(0);
  }

  unreachable(): void {
    this.out.byte(0x00);
  }

  /** The function's entry in the code section. */
  finish(): Uint8Array {
    const whole = new ByteWriter(this.out.length + 64);
    const groups: [number, Type][] = [];
    for (const type of this.#locals) {
      const last = groups.at(-1);
      if (last !== undefined && last[1] === type) last[0]++;
      else groups.push([1, type]);
    }
    whole.unsigned(groups.length);
    for (const [count, type] of groups) {
      whole.unsigned(count);
      whole.byte(type);
    }
    if (this.#before !== undefined) whole.append(this.#before.view());
    whole.append(this.out.view());
    whole.byte(0x0b);
    return whole.view();
  }

  #allocate(type: Type): Local {
    const free = this.#free.get(type)?.pop();
    const index = free ?? this.#parameters.length + this.#locals.push(type) - 1;
    const local = this.#local(index, type);
    this.#made.push(local);
    return local;
  }

  #local(index: number, type: Type): Local {
    return {
      type,
      index,
      emit: (out) => {
        out.byte(0x20);
        out.unsigned(index);
      },
    };
  }

  #nest(opcode: number, body: (label: Label) => void): void {
    this.out.byte(opcode);
    this.out.byte(0x40);
    this.#depth++;
    body({ depth: this.#depth });
    this.#end();
  }

  #end(): void {
    this.#depth--;
    this.out.byte(0x0b);
  }
}
