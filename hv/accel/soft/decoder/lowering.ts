/** From a decoded instruction to the operation's record that its handler finds in memory 0. */

import { AddressKind, FLAT, NOT_LONG, OP } from "../codegen/operation.ts";
import { handlerKey, lockedName } from "../instructions/definition.ts";
import { HANDLERS } from "../interpreter.ts";
import { AT, byteRegisterAt, generalAt, mmxAt, Seg, segmentAt, vectorAt } from "../state/state.ts";
import type { Instruction } from "./decoder.ts";
import { NO_REGISTER, RIP_REGISTER } from "./decoder.ts";
import type { OperandCode } from "./opcode_map.ts";

const RBX = 3;
const RSP = 4;
const RBP = 5;
/** REPE of CMPS and SCAS, whose F3 means something else than REP. */
const COMPARING = new Set(["cmps", "scas"]);
const REPEATABLE = new Set(["movs", "stos", "lods", "cmps", "scas"]);

/** Handlers for 32 and 64 bits have the size in their names: their own size is a vector's. */
const SIZED_BY_NAME = new Set([
  "movd_from",
  "movd_to",
  "mmx_movd_from",
  "mmx_movd_to",
  "pcmpestri",
  "pcmpestrm",
  "pextrd",
  "pinsrd",
  "cvtsssi",
  "cvtsdsi",
  "cvttsssi",
  "cvttsdsi",
]);

/** Where and how an operation is written. */
export interface Place {
  /** Memory 0. */
  readonly data: DataView;
  /** Address of the record. */
  op: number;
  /** Offset of the instruction from the block's start. */
  start: number;
  /** Is it 32-bit code with flat segments? */
  flat: boolean;
}

/** The operation's size in bits, from its size letter. */
export function sizeOf(instruction: Instruction, letter: string): number {
  const { operandSize } = instruction;
  switch (letter) {
    case "b":
      return 8;
    case "w":
      return 16;
    case "d":
      return 32;
    case "q":
      return 64;
    case "y":
      return operandSize === 64 ? 64 : 32;
    case "z":
      return operandSize === 16 ? 16 : 32;
    default:
      return operandSize;
  }
}

/** The name by which the handler goes, where it depends on more than the opcode. */
export function handlerName(instruction: Instruction): string {
  const { entry: { name }, repeat, rex, operandSize } = instruction;
  if (repeat !== 0 && REPEATABLE.has(name)) {
    if (!COMPARING.has(name)) return `rep_${name}`;
    return repeat === 0xf3 ? `repe_${name}` : `repne_${name}`;
  }
  if (SIZED_BY_NAME.has(name)) return `${name}${operandSize === 64 ? 64 : 32}`;
  if (name === "cvtsis_s") return `cvtsi${operandSize === 64 ? 64 : 32}ss`;
  if (name === "cvtsis_d") return `cvtsi${operandSize === 64 ? 64 : 32}sd`;
  if (name === "crc32") return `crc32_${operandSize}`;
  if (name === "cmpxchg8b") {
    const whole = operandSize === 64 ? "cmpxchg16b" : name;
    return instruction.lock ? lockedName(whole) : whole;
  }
  // 90h: NOP and PAUSE, unless REX.B makes it an exchange with R8.
  if (name === "xchg" && instruction.opcode === 0x90 && (rex & 1) === 0) return "nop";
  // XCHG with memory locks without the prefix (SDM volume 2, XCHG).
  if (instruction.hasMemory && (instruction.lock || name === "xchg")) return lockedName(name);
  return name;
}

/** Writes the record; `bits` is the size of the code. */
export function lower(instruction: Instruction, bits: 16 | 32 | 64, place: Place): void {
  const { data, op, start } = place;
  const { entry } = instruction;
  const end = start + instruction.length;
  const modeBits = (bits === 64 ? 0 : NOT_LONG) | (place.flat ? FLAT : 0);
  // Two of the fields are halves of the links of branches: everything is set.
  for (let at = op; at < op + 32; at += 8) data.setBigUint64(at, 0n, true);
  data.setUint16(op + OP.start, start, true);
  data.setUint16(op + OP.end, end, true);
  data.setUint16(op + OP.base, AT.zero, true);
  data.setUint16(op + OP.index, AT.zero, true);
  data.setUint8(op + OP.scale, modeBits | instruction.scale);
  setAddressing(instruction, bits, place);
  data.setInt32(op + OP.immediate, instruction.immediate, true);
  data.setInt32(op + OP.immediate + 4, instruction.immediateHigh, true);

  const name = handlerName(instruction);
  const size = name.endsWith("cmpxchg16b") ? 64 : sizeOf(instruction, entry.size);
  let form = "";
  let registers = 0;
  const slots = [OP.a, OP.b, OP.base];
  const register = (at: number) => {
    form += "r";
    data.setUint16(op + slots[registers++], at, true);
  };
  for (const operand of entry.operands) {
    switch (operand.kind) {
      case "E":
      case "M":
      case "R":
        if (instruction.hasMemory) form += "m";
        else register(registerAt(instruction, operand, instruction.rm));
        break;
      case "G":
        register(registerAt(instruction, operand, instruction.reg));
        break;
      case "Z":
        register(registerAt(
          instruction,
          operand,
          (instruction.opcode & 7) | (instruction.rex & 1) << 3,
        ));
        break;
      case "H":
        register(vectorAt(instruction.reg));
        break;
      case "W":
      case "U":
        if (instruction.hasMemory) form += "m";
        else register(vectorAt(instruction.rm));
        break;
      case "P":
        register(mmxAt(instruction.reg));
        break;
      case "K":
      case "N":
        if (instruction.hasMemory) form += "m";
        else register(mmxAt(instruction.rm));
        break;
      case "V":
        register(generalAt(instruction.vvvv));
        break;
      case "reg":
        register(registerAt(instruction, operand, operand.fixed));
        break;
      case "X":
      case "Y":
      case "O":
        form += "m";
        break;
      case "S":
        setImmediate(place, operand.fixed >= 0 ? operand.fixed : instruction.modrm >> 3 & 7);
        break;
      case "C":
        form += "i";
        setImmediate(place, instruction.reg);
        break;
      case "J":
        form += "i";
        data.setBigInt64(op + OP.immediate, BigInt(end) + BigInt(instruction.immediate), true);
        // The links, not registers, lie here.
        data.setUint32(op + OP.linkNotTaken, 0, true);
        data.setUint32(op + OP.linkTaken, 0, true);
        break;
      default: // I, A, Q, 1
        form += "i";
    }
  }
  const isOffset = entry.operands.some(({ kind }) => kind === "O");
  if (isOffset) data.setInt32(op + OP.displacement, instruction.immediate, true);
  if (name === "xlat") data.setUint16(op + OP.base, generalAt(RBX), true);
  if ((name === "ins" || name === "outs") && instruction.repeat !== 0) setImmediate(place, 1);
  if (name === "pop" && instruction.base === RSP && instruction.hasMemory) {
    // The address is that with RSP after the pop (SDM, POP).
    data.setInt32(op + OP.displacement, instruction.displacement + (size >> 3), true);
  }
  if (name === "nop") form = "";
  if (name === "x87") setImmediate(place, (instruction.opcode & 7) << 8 | instruction.modrm);
  const far = isOffset && instruction.addressSize === 64 &&
    instruction.immediateHigh !== instruction.immediate >> 31;
  const key = far
    ? handlerKey(entry.operands[0].kind === "O" ? "storeAbsolute" : "loadAbsolute", size, "")
    : handlerKey(name, size, form);
  data.setInt32(op + OP.handler, HANDLERS.get(key) ?? HANDLERS.get("missing")!, true);
}

/** A record that is not an instruction's: `name` is a special handler. */
export function lowerSpecial(name: string, place: Place): void {
  const { data, op, start } = place;
  for (let at = op; at < op + 32; at += 8) data.setBigUint64(at, 0n, true);
  data.setInt32(op + OP.handler, HANDLERS.get(name)!, true);
  data.setUint16(op + OP.start, start, true);
  data.setUint16(op + OP.end, start, true);
}

function setImmediate({ data, op }: Place, value: number): void {
  data.setInt32(op + OP.immediate, value, true);
  data.setInt32(op + OP.immediate + 4, 0, true);
}

function registerAt(instruction: Instruction, operand: OperandCode, number: number): number {
  return sizeOf(instruction, operand.size) === 8
    ? byteRegisterAt(number, instruction.rex !== 0)
    : generalAt(number);
}

function setAddressing(instruction: Instruction, bits: number, place: Place): void {
  const { data, op, start, flat } = place;
  const { base, index, addressSize } = instruction;
  let displacement = instruction.displacement;
  if (base === RIP_REGISTER) {
    data.setUint16(op + OP.base, AT.blockRip, true);
    displacement += start + instruction.length;
    // Out of the field's range for targets at the very edge of 2 GiB: no compiler makes one.
    displacement |= 0;
  } else if (base !== NO_REGISTER) {
    data.setUint16(op + OP.base, generalAt(base), true);
  }
  if (index !== NO_REGISTER) data.setUint16(op + OP.index, generalAt(index), true);
  data.setInt32(op + OP.displacement, displacement, true);

  const given = instruction.segment;
  const stack = base === RSP || base === RBP;
  if (bits === 64) {
    const based = given >= 0;
    const kind = addressSize === 32
      ? AddressKind.based32
      : based
      ? AddressKind.based
      : AddressKind.plain;
    data.setUint8(op + OP.kind, kind);
    // Plain addresses have no base; the segment says whether #SS or #GP is for them.
    const stacked = kind === AddressKind.plain &&
      (instruction.named === Seg.ss || stack);
    const segment = stacked ? segmentAt(Seg.ss) : based ? segmentAt(given) : AT.zero;
    data.setUint16(op + OP.segment, segment, true);
    return;
  }
  const usesStack = instruction.hasMemory && stack;
  const segment = given >= 0 ? given : usesStack ? Seg.ss : Seg.ds;
  const isFlat = flat && (segment === Seg.ds || segment === Seg.es || segment === Seg.ss);
  const kind = addressSize !== 32
    ? AddressKind.segment16
    : isFlat
    ? AddressKind.flat32
    : AddressKind.segment32;
  data.setUint8(op + OP.kind, kind);
  data.setUint16(op + OP.segment, segmentAt(segment), true);
}
