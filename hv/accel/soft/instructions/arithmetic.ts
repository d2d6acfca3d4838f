/**
 * Addition, subtraction, logic and comparison (Intel SDM volume 2: ADC, ADD, AND, CMP, CMPXCHG, DEC,
 * INC, NEG, NOT, OR, SBB, SUB, TEST, XADD, XOR, ADCX, ADOX).
 */

import * as flags from "../codegen/flags.ts";
import type { Handler } from "../codegen/handler.ts";
import * as v from "../wasm/value.ts";
import type { Value } from "../wasm/value.ts";
import { define, type Definition, ONE_OPERAND, TWO_OPERANDS } from "./definition.ts";

/** dst = operate(dst, src), then flags. */
const twoOperand = (
  name: string,
  operate: (h: Handler, a: Value, b: Value) => Value,
  setFlags: (h: Handler, a: Value, b: Value, r: Value) => void,
): Definition =>
  define(name, TWO_OPERANDS, (h) => {
    const b = h.inMemory(1) || !h.inMemory(0) ? undefined : h.read(1);
    const a = h.readForWrite(0);
    const source = b ?? h.read(1);
    const r = h.let(h.cut(operate(h, a, source)));
    h.write(0, r);
    setFlags(h, a, source, r);
  });

/** CF as a value of the operation's type. */
const carryIn = (h: Handler): Value => {
  const carry = flags.carry(h);
  return h.size === 64 ? carry : v.wrap(carry);
};

const logic = (name: string, operate: (a: Value, b: Value) => Value): Definition =>
  twoOperand(name, (_, a, b) => operate(a, b), (h, _a, _b, r) => flags.setLogicFlags(h, r));

const compareLike = (
  name: string,
  operate: (h: Handler, a: Value, b: Value) => void,
): Definition => define(name, TWO_OPERANDS, (h) => operate(h, h.read(0), h.read(1)));

const step = (name: "inc" | "dec"): Definition =>
  define(name, ONE_OPERAND, (h) => {
    const a = h.readForWrite(0);
    const one = h.constant(1);
    const r = h.let(h.cut(name === "inc" ? v.add(a, one) : v.sub(a, one)));
    h.write(0, r);
    flags.setFlagsKeepingCarry(h, name === "inc" ? "add" : "sub", a, one, r);
  });

/** ADCX and ADOX: an addition whose carry goes through one flag alone. */
const addThrough = (name: "adcx" | "adox"): Definition =>
  define(name, ["rr", "rm"], (h) => {
    const a = h.read(0);
    const b = h.read(1);
    const c = name === "adcx" ? flags.carry(h) : flags.overflow(h);
    const carryValue = h.let(h.size === 64 ? c : v.wrap(c));
    const partial = h.let(v.add(a, b));
    const r = h.let(v.add(partial, carryValue));
    const out = h.let(v.extendU(v.or(v.ltU(partial, a), v.ltU(r, partial))));
    h.write(0, r);
    if (name === "adcx") flags.setCarryAndOverflow(h, out, h.let(flags.overflow(h)));
    else flags.setCarryAndOverflow(h, h.let(flags.carry(h)), out);
  }, [32, 64]);

/** See above. */
export const ARITHMETIC_INSTRUCTIONS: readonly Definition[] = [
  twoOperand("add", (_, a, b) => v.add(a, b), flags.setAddFlags),
  twoOperand("sub", (_, a, b) => v.sub(a, b), flags.setSubFlags),
  twoOperand("adc", (h, a, b) => v.add(v.add(a, b), carryIn(h)), flags.setAddFlags),
  twoOperand("sbb", (h, a, b) => v.sub(v.sub(a, b), carryIn(h)), flags.setSubFlags),
  logic("and", v.and),
  logic("or", v.or),
  logic("xor", v.xor),
  compareLike("cmp", (h, a, b) => {
    flags.setSubFlags(h, a, b, h.let(h.cut(v.sub(a, b))));
  }),
  compareLike("test", (h, a, b) => flags.setLogicFlags(h, h.let(v.and(a, b)))),
  step("inc"),
  step("dec"),
  define("neg", ONE_OPERAND, (h) => {
    const a = h.readForWrite(0);
    const zero = h.constant(0);
    const r = h.let(h.cut(v.sub(zero, a)));
    h.write(0, r);
    flags.setSubFlags(h, zero, a, r);
  }),
  define("not", ONE_OPERAND, (h) => {
    const a = h.readForWrite(0);
    h.write(0, h.cut(v.xor(a, h.constant(-1))));
  }),
  define("cmpxchg", ["rr", "mr"], (h) => {
    const a = h.readForWrite(0);
    const b = h.read(1);
    const accumulator = h.let(h.register(0, h.size));
    const same = h.let(v.eq(accumulator, a));
    // Memory is written in either case (SDM: "the processor never produces a locked read alone");
    // a register that keeps its value is not: its upper half would be cleared.
    if (h.inMemory(0)) h.write(0, v.select(same, b, a));
    h.code.if(same, () => {
      if (!h.inMemory(0)) h.write(0, b);
    }, () => h.setRegister(0, a, h.size));
    flags.setSubFlags(h, accumulator, a, h.let(h.cut(v.sub(accumulator, a))));
  }),
  define("xadd", ["rr", "mr"], (h) => {
    const a = h.readForWrite(0);
    const b = h.read(1);
    const r = h.let(h.cut(v.add(a, b)));
    if (h.inMemory(0)) {
      h.write(0, r);
      h.write(1, a);
    } else {
      h.write(1, a);
      h.write(0, r);
    }
    flags.setAddFlags(h, a, b, r);
  }),
  addThrough("adcx"),
  addThrough("adox"),
];
