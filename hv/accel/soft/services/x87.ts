/**
 * The x87's instructions (Intel SDM volume 2, F...). The operation's immediate is the low three bits of
 * the opcode, times 256, and the ModRM byte.
 */

import { Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import { fault, Vector } from "../events/faults.ts";
import { AF, CF, OF, PF, SF, ZF } from "../state/flags_word.ts";
import type { Float80, Real } from "../float/module.ts";
import { BEFORE, INDEFINITE, Status87, type X87 } from "../state/x87_state.ts";
import { saveAll, storeEnvironment } from "./x87_environment.ts";
import { memoryArithmetic, memoryMove } from "./x87_memory.ts";
import { arithmetic, compare, compareEmpty, finish, flagsOf, value } from "./x87_operations.ts";

const { c0, c1, c2, c3 } = Status87;

/** FCOMI and FUCOMI: the codes go to ZF, PF, CF. */
function compareToFlags(cpu: Cpu, x: X87, f: Float80, i: number, quiet: boolean): boolean {
  const empty = x.isEmpty(0) || x.isEmpty(i);
  const codes = empty
    ? c0 | c2 | c3
    : (quiet ? f.compareQuiet : f.compare)(...x.read(0), ...x.read(i), x.control);
  const done = empty ? x.underflow() : x.report(codes & Status87.exceptions);
  // Even an unmasked exception does not keep them from being set.
  const all = CF | PF | ZF | OF | SF | AF;
  cpu.flags = cpu.flags & ~all | ((codes & c0) !== 0 ? CF : 0) | ((codes & c2) !== 0 ? PF : 0) |
    ((codes & c3) !== 0 ? ZF : 0);
  return done;
}

/** Register forms with arithmetic: D8, DC, DE. */
function registerArithmetic(
  x: X87,
  f: Float80,
  opcode: number,
  operation: number,
  i: number,
): void {
  const pops = opcode === 6;
  x.clearC1();
  if (operation === 2 || operation === 3) {
    const done = x.isEmpty(0) || x.isEmpty(i) ? compareEmpty(x) : compare(x, f, x.read(i), false);
    if (done && (operation === 3 || pops)) x.pop();
    if (done && opcode === 6 && operation === 3) x.pop();
    return;
  }
  const target = opcode === 0 ? 0 : i;
  let done: boolean;
  if (x.isEmpty(0) || x.isEmpty(i)) {
    done = x.underflow();
    if (done) x.write(target, INDEFINITE);
  } else done = arithmetic(x, f, operation, target, x.read(i));
  if (done && pops) x.pop();
}

/** FCMOVcc of DA and DB: condition 0 to 3 is B, E, BE, U. */
function conditionalMove(cpu: Cpu, condition: number, wanted: boolean, i: number): void {
  const { x87: x, flags } = cpu;
  const masks = [CF, ZF, CF | ZF, PF];
  if (x.isEmpty(0) || x.isEmpty(i)) {
    if (x.underflow()) x.write(0, INDEFINITE);
  } else if ((flags & masks[condition]) !== 0 === wanted) x.write(0, x.read(i));
}

/** One operand, ST0. */
function unary(x: X87, operate: (a: Real, control: number) => Real): void {
  x.clearC1();
  if (!x.isEmpty(0)) finish(x, 0, operate(x.read(0), x.control));
  else if (x.underflow()) x.write(0, INDEFINITE);
}

/** ST0 and ST1; the result goes to ST(target), with a pop if that is 1. */
function binary(
  x: X87,
  target: 0 | 1,
  operate: (a: Real, b: Real, control: number) => Real,
): void {
  x.clearC1();
  let done: boolean;
  if (x.isEmpty(0) || x.isEmpty(1)) {
    done = x.underflow();
    if (done) x.write(target, INDEFINITE);
  } else done = finish(x, target, operate(x.read(0), x.read(1), x.control));
  if (done && target === 1) x.pop();
}

/** FXTRACT, FSINCOS, FPTAN: one value is replaced, another pushed. */
function pair(
  x: X87,
  operate: (a: Real, control: number) => [bigint, number, bigint, number],
  setsC2 = false,
): void {
  x.clearC1();
  if (x.isEmpty(0)) {
    if (!x.underflow()) return;
    x.write(0, INDEFINITE);
    x.top--;
    x.write(0, INDEFINITE);
    return;
  }
  if (!x.isEmpty(7)) {
    if (!x.report(Status87.invalid | Status87.stackFault | c1)) return;
    x.write(0, INDEFINITE);
    x.top--;
    x.write(0, INDEFINITE);
    return;
  }
  if (setsC2) x.status &= ~c2;
  const [a, ae, b, be] = operate(x.read(0), x.control);
  const flags = flagsOf(ae);
  if (!x.report(flags) || (flags & c2) !== 0) return;
  x.write(0, value([a, ae]));
  x.push(value([b, be]));
}

const REMAINDER_CODES = c0 | c1 | c2 | c3;

/** D9 C0 to FF. */
function registersD9(cpu: Cpu, modrm: number): void {
  const { x87: x, float80: f } = cpu;
  const i = modrm & 7;
  if (modrm < 0xc8) { // FLD ST(i)
    x.clearC1();
    if (!x.isEmpty(i)) return x.push(x.read(i));
    if (!x.underflow()) return;
    x.top--;
    return x.write(0, INDEFINITE);
  }
  if (modrm < 0xd0) return exchange(x, i);
  switch (modrm) {
    case 0xd0:
      return;
    case 0xd8: // an alias of FSTP, as are the others up to DFh
    case 0xd9:
    case 0xda:
    case 0xdb:
    case 0xdc:
    case 0xdd:
    case 0xde:
    case 0xdf:
      // Unlike FSTP, it reports no empty register.
      x.clearC1();
      x.write(i, x.read(0));
      return x.pop();
    case 0xe0: // FCHS
    case 0xe1: // FABS
      x.clearC1();
      if (x.isEmpty(0)) {
        if (x.underflow()) x.write(0, INDEFINITE);
        return;
      }
      {
        const [significand, rest] = x.read(0);
        x.write(0, [significand, modrm === 0xe0 ? rest ^ 0x8000 : rest & 0x7fff]);
      }
      return;
    case 0xe4: // FTST
      x.clearC1();
      if (x.isEmpty(0)) compareEmpty(x);
      else compare(x, f, [0n, 0], false);
      return;
    case 0xe5: // FXAM
      x.status = x.status & ~REMAINDER_CODES |
        (x.isEmpty(0) ? c0 | c3 | (x.read(0)[1] >> 15) * c1 : f.examine(...x.read(0)));
      return;
    case 0xf0:
      return unary(x, (a, w) => f.exp2m1(...a, w));
    case 0xf1:
      return binary(x, 1, (a, b, w) => f.yLog2x(...a, ...b, w));
    case 0xf2:
      return pair(x, (a, w) => f.tan(...a, w), true);
    case 0xf3:
      return binary(x, 1, (a, b, w) => f.atan(...a, ...b, w));
    case 0xf4:
      return pair(x, (a, w) => f.extract(...a, w));
    case 0xf5:
    case 0xf8:
      x.status &= ~c2;
      return binary(x, 0, (a, b, w) => {
        const result = (modrm === 0xf5 ? f.prem1 : f.prem)(...a, ...b, w);
        const flags = flagsOf(result[1]);
        // An invalid operation, or one that an unmasked exception stops, leaves the quotient's bits.
        if ((flags & Status87.invalid) !== 0 || (flags & ~w & BEFORE) !== 0) {
          return [result[0], result[1] & ~(REMAINDER_CODES << 16)];
        }
        x.status &= ~REMAINDER_CODES;
        return result;
      });
    case 0xf6:
      x.clearC1();
      x.top--;
      return;
    case 0xf7:
      x.clearC1();
      x.top++;
      return;
    case 0xf9:
      return binary(x, 1, (a, b, w) => f.yLog2xPlus1(...a, ...b, w));
    case 0xfa:
      return unary(x, (a, w) => f.sqrt(...a, w));
    case 0xfb:
      return pair(x, (a, w) => f.sincos(...a, w), true);
    case 0xfc:
      return unary(x, (a, w) => f.roundToInteger(...a, w));
    case 0xfd:
      return binary(x, 0, (a, b, w) => f.scale(...a, ...b, w));
    case 0xfe:
    case 0xff:
      x.status &= ~c2;
      return unary(x, (a, w) => (modrm === 0xfe ? f.sin : f.cos)(...a, w));
    default:
      if (modrm < 0xe8 || modrm > 0xee) fault(cpu.state, Vector.undefinedOpcode);
      x.clearC1();
      x.push(value(f.constant(modrm - 0xe8, x.control)));
  }
}

function exchange(x: X87, i: number): void {
  x.clearC1();
  if ((x.isEmpty(0) || x.isEmpty(i)) && !x.underflow()) return;
  const a = x.isEmpty(0) ? INDEFINITE : x.read(0);
  const b = x.isEmpty(i) ? INDEFINITE : x.read(i);
  x.write(0, b);
  x.write(i, a);
}

/** FST and FSTP ST(i). */
function storeRegister(x: X87, i: number, pops: boolean): void {
  x.clearC1();
  if (x.isEmpty(0)) {
    if (!x.underflow()) return;
    x.write(i, INDEFINITE);
  } else x.write(i, x.read(0));
  if (pops) x.pop();
}

function registerForms(cpu: Cpu, opcode: number, modrm: number): void {
  const { x87: x, float80: f } = cpu;
  const operation = modrm >> 3 & 7;
  const i = modrm & 7;
  const undefinedOpcode = () => fault(cpu.state, Vector.undefinedOpcode);
  switch (opcode) {
    case 1:
      return registersD9(cpu, modrm);
    case 0:
    case 4:
      return registerArithmetic(x, f, opcode, operation, i);
    case 6:
      if (operation === 3 && i !== 1) undefinedOpcode();
      return registerArithmetic(x, f, 6, operation, i);
    case 2:
      if (operation < 4) return conditionalMove(cpu, operation, true, i);
      if (modrm !== 0xe9) undefinedOpcode();
      x.clearC1();
      if (x.isEmpty(0) || x.isEmpty(1) ? compareEmpty(x) : compare(x, f, x.read(1), true)) {
        x.pop();
        x.pop();
      }
      return;
    case 3:
      if (operation < 4) return conditionalMove(cpu, operation, false, i);
      if (operation !== 5 && operation !== 6) undefinedOpcode();
      compareToFlags(cpu, x, f, i, operation === 5);
      return;
    case 5:
      if (operation === 0) {
        x.clearC1();
        return x.free(i);
      }
      if (operation === 1) return exchange(x, i);
      if (operation === 2 || operation === 3) return storeRegister(x, i, operation === 3);
      if (operation !== 4 && operation !== 5) undefinedOpcode();
      x.clearC1();
      if (x.isEmpty(0) || x.isEmpty(i) ? compareEmpty(x) : compare(x, f, x.read(i), true)) {
        if (operation === 5) x.pop();
      }
      return;
    default:
      // Not in the manuals, but in all processors: FFREEP, and aliases of FXCH and FSTP.
      if (operation === 0) {
        x.clearC1();
        x.free(i);
        return x.pop();
      }
      if (operation === 1) return exchange(x, i);
      if (operation === 2 || operation === 3) return storeRegister(x, i, true);
      if (operation !== 5 && operation !== 6) undefinedOpcode();
      if (compareToFlags(cpu, x, f, i, operation === 5)) x.pop();
  }
}

/** FNCLEX, FNINIT, FNSTCW, FNSTSW, FNSTENV, FNSAVE: they do not wait for exceptions. */
function withoutWaiting(cpu: Cpu, size: number, opcode: number, modrm: number): boolean {
  const { x87: x } = cpu;
  const operation = modrm >> 3 & 7;
  if (modrm >= 0xc0) {
    if (opcode === 3 && modrm === 0xe2) {
      x.status &= ~(Status87.exceptions | Status87.stackFault | Status87.summary | Status87.busy);
    } else if (opcode === 3 && modrm === 0xe3) x.initialize();
    else if (opcode === 3 && (modrm === 0xe0 || modrm === 0xe1 || modrm === 0xe4)) {
      // FENI, FDISI, FSETPM of the 8087 and 80287: nothing since.
      return true;
    } else if (opcode === 7 && modrm === 0xe0) cpu.setGeneral(0, 16, BigInt(x.status));
    else return false;
    return true;
  }
  const word = (bits: number) => cpu.writeData(cpu.operandLinear(2, true), 2, BigInt(bits));
  if (opcode === 1 && operation === 7) word(x.control);
  else if (opcode === 5 && operation === 7) word(x.status);
  else if (opcode === 1 && operation === 6) storeEnvironment(cpu, size);
  else if (opcode === 5 && operation === 6) saveAll(cpu, size);
  else return false;
  return true;
}

/** See above. */
export const X87_SERVICES = {
  x87: (cpu, call) => {
    const what = Number(cpu.immediate);
    const opcode = what >> 8 & 7;
    const modrm = what & 0xff;
    cpu.x87.begin(false);
    if (withoutWaiting(cpu, call.size, opcode, modrm)) return Status.next;
    cpu.x87.begin(true);
    const operation = modrm >> 3 & 7;
    if (modrm >= 0xc0) registerForms(cpu, opcode, modrm);
    else if ((opcode & 1) === 0) memoryArithmetic(cpu, opcode, operation);
    else memoryMove(cpu, call, opcode, operation);
    return Status.next;
  },
} satisfies Readonly<Record<string, Service>>;
