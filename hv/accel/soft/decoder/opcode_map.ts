/** The opcode maps in the form that the decoder walks, made from the text of opcode_table.ts. */

import { OPCODE_LINES } from "./opcode_table.ts";

/** An operand of an opcode: what it is and its size letter. */
export interface OperandCode {
  readonly kind: string;
  readonly size: string;
  /** Of a register named in the table or a segment register: its number. */
  readonly fixed: number;
}

/** What one line of the table says. */
export interface Entry {
  readonly name: string;
  readonly operands: readonly OperandCode[];
  /** Size letter of the operation: of its first operand, or given. */
  readonly size: string;
  readonly default64: boolean;
  readonly forced64: boolean;
  readonly invalid64: boolean;
  readonly only64: boolean;
  readonly lockable: boolean;
  readonly endsBlock: boolean;
  readonly feature: string | undefined;
}

/** An entry with what selects it. */
export interface Variant {
  readonly entry: Entry;
  /** Mandatory prefix: -1 any, 0 none, else 66h, F3h or F2h. */
  readonly prefix: number;
  /** ModRM.reg, or -1. */
  readonly reg: number;
  /** "m", "r" or "" for both. */
  readonly mod: string;
  /** The whole ModRM byte, or -1. */
  readonly modrm: number;
}

/** An opcode: what follows it and which entries it may stand for. */
export interface Opcode {
  readonly hasModrm: boolean;
  readonly variants: readonly Variant[];
}

/** Maps by number: one byte, 0F, 0F38, 0F3A, and VEX maps 1 to 3 from 5 on. */
export const OpcodeMap = { oneByte: 0, map0F: 1, map0F38: 2, map0F3A: 3, vex: 4 } as const;

const FIXED_REGISTERS: Readonly<Record<string, [size: string, number: number]>> = {
  al: ["b", 0],
  ax: ["v", 0],
  eax: ["z", 0],
  cl: ["b", 1],
};

const NEEDS_MODRM = new Set(["E", "M", "R", "G", "C", "H", "W", "U", "P", "K", "N"]);

function parseOperand(text: string): OperandCode {
  const register = FIXED_REGISTERS[text];
  if (register !== undefined) return { kind: "reg", size: register[0], fixed: register[1] };
  const kind = text[0];
  if (kind === "S") return { kind, size: "w", fixed: text.length > 1 ? Number(text[1]) : -1 };
  return { kind, size: text.slice(1), fixed: -1 };
}

const MEMORY_KINDS = new Set(["E", "M", "R", "G", "Z", "V", "O", "X", "Y", "reg"]);

function parseEntry(name: string, rest: readonly string[]): Entry {
  const isOperands = (text: string) =>
    /^([EMRGZVIJOASCXYQHWUPKNT1]|al|ax|eax|cl)/.test(text) &&
    !/^(end|lock)$/.test(text);
  const operands = rest.length > 0 && isOperands(rest[0])
    ? rest[0].split(",").map(parseOperand)
    : [];
  const flag = (text: string) => rest.includes(text);
  const given = rest.find((text) => text.startsWith(":"))?.slice(1);
  const sized = operands.find(({ kind }) => MEMORY_KINDS.has(kind));
  return {
    name,
    operands,
    size: given === "32" ? "d" : given ?? sized?.size ?? (operands[0]?.kind === "S" ? "v" : "v"),
    default64: flag("d64"),
    forced64: flag("f64"),
    invalid64: flag("i64"),
    only64: flag("o64"),
    lockable: flag("lock"),
    endsBlock: flag("end"),
    feature: rest.find((text) => text.startsWith("feature="))?.slice(8),
  };
}

const WHERE =
  /^(?:(NP|66|F3|F2)\.)?(0f38|0f3a|0f|vex1|vex2|vex3)?([0-9a-f]{2})(\+)?(?:\/(\d))?([mr])?(?:=([0-9a-f]{2}))?$/;
const MAP_NUMBERS: Readonly<Record<string, number>> = {
  "0f": 1,
  "0f38": 2,
  "0f3a": 3,
  vex1: 5,
  vex2: 6,
  vex3: 7,
};
const PREFIXES: Readonly<Record<string, number>> = { NP: 0, "66": 0x66, F3: 0xf3, F2: 0xf2 };

/** Indexed by map * 256 + opcode. */
function build(): (Opcode | undefined)[] {
  const opcodes: ({ hasModrm: boolean; variants: Variant[] } | undefined)[] = Array(8 * 256);
  for (const line of OPCODE_LINES) {
    const [where, name, ...rest] = line.split(" ");
    const match = WHERE.exec(where);
    // "0f" followed by two digits is the map; a bare 0f would not be an opcode of its own.
    if (match === null) throw new Error(`Cannot read the opcode table: "${line}"`);
    const [, prefix, map, digits, plus, reg, mod, modrm] = match;
    const entry = parseEntry(name, rest);
    const variant: Variant = {
      entry,
      prefix: prefix === undefined ? -1 : PREFIXES[prefix],
      reg: reg === undefined ? -1 : Number(reg),
      mod: mod ?? "",
      modrm: modrm === undefined ? -1 : parseInt(modrm, 16),
    };
    const first = (map === undefined ? 0 : MAP_NUMBERS[map] * 256) + parseInt(digits, 16);
    for (let i = 0; i < (plus === undefined ? 1 : 8); i++) {
      const opcode = opcodes[first + i] ??= { hasModrm: false, variants: [] };
      opcode.variants.push(variant);
      opcode.hasModrm ||= variant.reg >= 0 || variant.modrm >= 0 || variant.mod !== "" ||
        entry.operands.some(({ kind, fixed }) =>
          NEEDS_MODRM.has(kind) || kind === "S" && fixed < 0
        );
    }
  }
  return opcodes;
}

/** See `build`. */
export const OPCODES: readonly (Opcode | undefined)[] = build();
