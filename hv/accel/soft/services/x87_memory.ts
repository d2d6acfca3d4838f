/** The x87's instructions with an operand in memory (Intel SDM volume 2, F...). */

import type { Cpu } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import type { Float80, Real } from "../float/module.ts";
import { INDEFINITE, type X87 } from "../state/x87_state.ts";
import { loadEnvironment, restoreAll } from "./x87_environment.ts";
import { arithmetic, compare, compareEmpty, flagsOf, value } from "./x87_operations.ts";

const TRUNCATE = 0xc00;
/** OE and UE: unmasked, they keep memory from being written. */
const OVERFLOWS = 0b1_1000;

/** The operand of the memory forms of D8, DA, DC, DE: a float or an integer. */
function memoryOperand(cpu: Cpu, f: Float80, opcode: number, control: number): Real {
  const bytes = [4, 0, 4, 0, 8, 0, 2, 0][opcode];
  const bits = cpu.readData(cpu.operandLinear(bytes, false), bytes);
  if (opcode === 0) return f.fromFloat32(Number(BigInt.asIntN(32, bits)), control);
  if (opcode === 4) return f.fromFloat64(BigInt.asIntN(64, bits), control);
  return f.fromInteger(BigInt.asIntN(bytes * 8, bits));
}

/** Memory forms with arithmetic. */
export function memoryArithmetic(cpu: Cpu, opcode: number, operation: number): void {
  const { x87: x, float80: f } = cpu;
  const operand = memoryOperand(cpu, f, opcode, x.control);
  x.clearC1();
  const compares = operation === 2 || operation === 3;
  let done: boolean;
  if (x.isEmpty(0)) {
    done = compares ? compareEmpty(x) : x.underflow();
    if (done && !compares) x.write(0, INDEFINITE);
  } else {
    const loading = flagsOf(operand[1]);
    done = compares
      ? compare(x, f, value(operand), false, loading)
      : arithmetic(x, f, operation, 0, value(operand), loading);
  }
  if (done && operation === 3) x.pop();
}

/** Loads and stores: D9, DB, DD, DF with memory. */
export function memoryMove(
  cpu: Cpu,
  call: { size: number },
  opcode: number,
  operation: number,
): void {
  const { x87: x, float80: f } = cpu;
  const control = x.control;
  const pops = operation === 3 || operation === 1 || operation === 7 || operation === 6;
  switch (opcode << 3 | operation) {
    case 0o10: // FLD m32
    case 0o50: { // FLD m64
      const bytes = opcode === 1 ? 4 : 8;
      const bits = cpu.readData(cpu.operandLinear(bytes, false), bytes);
      const loaded = bytes === 4
        ? f.fromFloat32(Number(BigInt.asIntN(32, bits)), control)
        : f.fromFloat64(BigInt.asIntN(64, bits), control);
      return load(x, loaded);
    }
    case 0o30: // FILD
    case 0o70:
    case 0o75: {
      const bytes = opcode === 3 ? 4 : operation === 0 ? 2 : 8;
      const bits = cpu.readData(cpu.operandLinear(bytes, false), bytes);
      return load(x, f.fromInteger(BigInt.asIntN(bytes * 8, bits)));
    }
    case 0o35: { // FLD m80
      const low = cpu.readData(cpu.operandLinear(8, false), 8);
      const high = cpu.readData(cpu.operandLinear(2, false, 8n), 2);
      return load(x, [BigInt.asIntN(64, low), Number(high)]);
    }
    case 0o37: // FSTP m80
      return storeExtended(cpu, x);
    case 0o74: { // FBLD
      const low = cpu.readData(cpu.operandLinear(8, false), 8);
      const high = cpu.readData(cpu.operandLinear(2, false, 8n), 2);
      return load(x, f.fromBcd(BigInt.asIntN(64, low), Number(high)));
    }
    case 0o76: // FBSTP
      return store(cpu, x, 10, true, (a) => f.toBcd(...a, control));
    case 0o12:
    case 0o13:
      return store(cpu, x, 4, pops, (a) => f.toFloat32(...a, control));
    case 0o52:
    case 0o53:
      return store(cpu, x, 8, pops, (a) => f.toFloat64(...a, control));
    case 0o32:
    case 0o33:
      return store(cpu, x, 4, pops, (a) => f.toInt32(...a, control));
    case 0o31:
      return store(cpu, x, 4, true, (a) => f.toInt32(...a, control | TRUNCATE));
    case 0o72:
    case 0o73:
      return store(cpu, x, 2, pops, (a) => f.toInt16(...a, control));
    case 0o71:
      return store(cpu, x, 2, true, (a) => f.toInt16(...a, control | TRUNCATE));
    case 0o77:
      return store(cpu, x, 8, true, (a) => f.toInt64(...a, control));
    case 0o51:
      return store(cpu, x, 8, true, (a) => f.toInt64(...a, control | TRUNCATE));
    case 0o14:
      return loadEnvironment(cpu, call.size);
    case 0o54:
      return restoreAll(cpu, call.size);
    case 0o15:
      x.control = Number(cpu.readData(cpu.operandLinear(2, false), 2));
      return;
    default:
      fault(cpu.state, Vector.undefinedOpcode);
  }
}

function load(x: X87, loaded: Real): void {
  x.clearC1();
  // A full stack comes before what is wrong with the value.
  if (!x.isEmpty(7) || x.report(flagsOf(loaded[1]))) x.push(value(loaded));
}

function storeExtended(cpu: Cpu, x: X87): void {
  const linear = cpu.operandLinear(10, true);
  cpu.memory.checkWrite(linear, 10, cpu.privilege);
  x.clearC1();
  const empty = x.isEmpty(0);
  if (empty && !x.underflow()) return;
  const [significand, rest] = empty ? INDEFINITE : x.read(0);
  cpu.writeData(linear, 8, BigInt.asUintN(64, significand));
  cpu.writeData(BigInt.asUintN(64, linear + 8n), 2, BigInt(rest));
  x.pop();
}

/** Converts ST0 and stores `bytes` of it; the integer indefinite is what an empty one converts to. */
function store(
  cpu: Cpu,
  x: X87,
  bytes: number,
  pops: boolean,
  convert: (a: Real) => Real,
): void {
  const linear = cpu.operandLinear(bytes, true);
  cpu.memory.checkWrite(linear, bytes, cpu.privilege);
  x.clearC1();
  const empty = x.isEmpty(0);
  const [bits, rest] = convert(empty ? [...INDEFINITE] : x.read(0));
  const done = empty ? x.underflow() : x.report(flagsOf(rest));
  if (!done || !empty && (flagsOf(rest) & ~x.control & OVERFLOWS) !== 0) return;
  const low = BigInt.asUintN(64, bits);
  if (bytes === 10) {
    cpu.writeData(linear, 8, low);
    cpu.writeData(BigInt.asUintN(64, linear + 8n), 2, BigInt(rest & 0xffff));
  } else cpu.writeData(linear, bytes, BigInt.asUintN(bytes * 8, low));
  if (pops) x.pop();
}
