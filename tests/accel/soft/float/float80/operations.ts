/**
 * The instructions that are compared with the processor: their numbers in oracle.c, and how the CPU
 * uses each one's function.
 */

import type { FunctionName } from "../../../../../hv/accel/soft/float/float80/signatures.ts";

/** How operands and results go in and out. */
export type Kind =
  /** ST0 := f(ST0, ST1) or f(ST0). */
  | "binary"
  | "unary"
  /** Condition codes only. */
  | "compare"
  | "compareZero"
  /** The same with a memory operand of single or double precision instead of ST1. */
  | "binaryMemory32"
  | "binaryMemory64"
  | "compareMemory32"
  | "compareMemory64"
  | "examine"
  /** The memory operand := f(ST0). */
  | "store16"
  | "store32"
  | "store64"
  | "store80"
  /** Pushes f(memory operand). */
  | "integer16"
  | "integer32"
  | "integer64"
  | "load32"
  | "load64"
  | "load80"
  | "constant"
  /** Replaces ST0 and pushes. */
  | "pair"
  | "twins"
  /** ST1 := f(ST1, ST0), pops. */
  | "popping";

/** See above. */
export interface Operation {
  readonly number: number;
  readonly name: string;
  readonly kind: Kind;
  readonly function: FunctionName;
  /** A result that no standard defines to the last bit. */
  readonly transcendental?: true;
}

const operation = (number: number, name: string, kind: Kind, f: FunctionName): Operation => ({
  number,
  name,
  kind,
  function: f,
  ...(number >= 32 && number < 40 ? { transcendental: true as const } : {}),
});

/** See above. */
export const OPERATIONS: readonly Operation[] = [
  operation(0, "FADD", "binary", "add"),
  operation(1, "FSUB", "binary", "sub"),
  operation(2, "FMUL", "binary", "mul"),
  operation(3, "FDIV", "binary", "div"),
  operation(4, "FSQRT", "unary", "sqrt"),
  operation(5, "FCOM", "compare", "compare"),
  operation(6, "FUCOM", "compare", "compareQuiet"),
  operation(7, "FPREM", "binary", "prem"),
  operation(8, "FPREM1", "binary", "prem1"),
  operation(9, "FRNDINT", "unary", "roundToInteger"),
  operation(10, "FSCALE", "binary", "scale"),
  operation(11, "FXTRACT", "pair", "extract"),
  operation(12, "FISTP m16", "store16", "toInt16"),
  operation(13, "FISTP m32", "store32", "toInt32"),
  operation(14, "FISTP m64", "store64", "toInt64"),
  operation(15, "FSTP m32", "store32", "toFloat32"),
  operation(16, "FSTP m64", "store64", "toFloat64"),
  operation(17, "FBSTP", "store80", "toBcd"),
  operation(18, "FILD m16", "integer16", "fromInteger"),
  operation(19, "FILD m32", "integer32", "fromInteger"),
  operation(20, "FILD m64", "integer64", "fromInteger"),
  operation(21, "FLD m32", "load32", "fromFloat32"),
  operation(22, "FLD m64", "load64", "fromFloat64"),
  operation(23, "FBLD", "load80", "fromBcd"),
  operation(24, "FXAM", "examine", "examine"),
  ...["FLD1", "FLDL2T", "FLDL2E", "FLDPI", "FLDLG2", "FLDLN2", "FLDZ"].map((name, i) =>
    operation(25 + i, name, "constant", "constant")
  ),
  operation(32, "F2XM1", "unary", "exp2m1"),
  operation(33, "FYL2X", "popping", "yLog2x"),
  operation(34, "FYL2XP1", "popping", "yLog2xPlus1"),
  operation(35, "FSIN", "unary", "sin"),
  operation(36, "FCOS", "unary", "cos"),
  operation(37, "FSINCOS", "twins", "sincos"),
  operation(38, "FPTAN", "twins", "tan"),
  operation(39, "FPATAN", "popping", "atan"),
  operation(42, "FTST", "compareZero", "compare"),
  ...(["add", "sub", "mul", "div"] as const).flatMap((f, i) => [
    operation(43 + 2 * i, `F${f.toUpperCase()} m32`, "binaryMemory32", f),
    operation(44 + 2 * i, `F${f.toUpperCase()} m64`, "binaryMemory64", f),
  ]),
  operation(51, "FCOM m32", "compareMemory32", "compare"),
  operation(52, "FCOM m64", "compareMemory64", "compare"),
];
