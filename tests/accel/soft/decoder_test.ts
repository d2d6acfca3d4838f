/** The decoder against iced-x86. */

import assert from "node:assert/strict";
import { Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register } from "npm:iced-x86@1";
import { FEATURES } from "../../../hv/accel/soft/model/cpuid.ts";
import {
  Decoding,
  Instruction,
  NO_REGISTER,
  RIP_REGISTER,
} from "../../../hv/accel/soft/decoder/decoder.ts";
import { OPCODES, type Variant } from "../../../hv/accel/soft/decoder/opcode_map.ts";
import { seeded } from "../../support/random.ts";
import { CHOICES, encode } from "./compared/instruction_cases.ts";

const ROUNDS = 20_000;

/** Base and index registers as numbers. */
function numberOf(register: Register): number {
  if (register === Register.None) return NO_REGISTER;
  if (register === Register.RIP || register === Register.EIP) return RIP_REGISTER;
  for (const first of [Register.AX, Register.EAX, Register.RAX]) {
    if (register >= first && register < first + 16) return register - first;
  }
  return 99;
}

function check(ours: Instruction, bytes: Uint8Array, bits: 16 | 32 | 64): void {
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  const theirs = decoder.decode();
  const result = ours.decode(bytes, 0, bytes.length, bits);
  const text = `${bits}: ${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`;
  // Which of the x87's register forms exist is not the decoder's affair.
  const x87 = ours.entry?.name === "x87";
  if (result === Decoding.ok && !(x87 && theirs.code === Code.INVALID)) {
    assert.notEqual(theirs.code, Code.INVALID, `${text} is ${ours.entry.name} here only`);
    assert.equal(ours.length, theirs.length, `${text}: length of ${ours.entry.name}`);
    const memory = [0, 1, 2].some((n) => n < theirs.opCount && theirs.opKind(n) === OpKind.Memory);
    const noOffset = !ours.entry.operands.some(({ kind }) => kind === "O");
    // Hint instructions are one to us, whatever they are called.
    if (ours.hasMemory && memory && noOffset && ours.entry.name !== "nop") {
      assert.equal(ours.base, numberOf(theirs.memoryBase), `${text}: base`);
      assert.equal(ours.index, numberOf(theirs.memoryIndex), `${text}: index`);
      if (ours.index !== NO_REGISTER) {
        assert.equal(1 << ours.scale, theirs.memoryIndexScale, `${text}: scale`);
      }
    }
    const mnemonic = Mnemonic[theirs.mnemonic].toLowerCase();
    const expected = NAMES.get(ours.entry.name);
    if (expected !== undefined) assert.equal(mnemonic, expected, text);
  }
  theirs.free();
  decoder.free();
}

/** Names of vector instructions that are mnemonics and stand for nothing else. */
function vectorNames(variants: readonly Variant[]): string[] {
  return variants.map(({ entry }) => entry)
    .filter(({ name, feature }) => AFTER_SSE2.has(feature ?? "") && !SHARED_NAMES.has(name))
    .map(({ name }) => name)
    .filter((name) => name[0].toUpperCase() + name.slice(1) in Mnemonic);
}

/** Names of more than one mnemonic. */
const SHARED_NAMES = new Set(
  ["movups", "movaps", "pextrd", "pinsrd", "pcmpestri", "pcmpestrm"],
);
const AFTER_SSE2 = new Set(["sse3", "ssse3", "sse4-1", "sse4-2", "aes", "pclmulqdq"]);

/** Entries whose name is the mnemonic. */
const NAMES = new Map(
  ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test", "inc", "dec", "neg", "not"]
    .concat("mul", "div", "idiv", "rol", "ror", "rcl", "rcr", "shr", "sar", "shld", "shrd", "bt")
    .concat("bts", "btr", "btc", "bsf", "bsr", "tzcnt", "lzcnt", "popcnt", "lea", "bswap", "movbe")
    .concat("xadd", "cmpxchg", "andn", "bextr", "pdep", "pext", "mulx", "rorx", "shlx", "bzhi")
    .concat("imul", "leave", "enter", "lahf", "sahf", "adcx", "adox")
    .concat(OPCODES.flatMap((opcode) => vectorNames(opcode?.variants ?? [])))
    .map((name) => [name, name]),
);

Deno.test("instructions made from the opcode table decode as iced-x86 decodes them", () => {
  seeded((random) => {
    const ours = new Instruction(FEATURES);
    for (let i = 0; i < ROUNDS; i++) {
      const bytes = encode(random, random.pick(CHOICES));
      while (bytes.length < 15) bytes.push(random.below(256));
      check(ours, new Uint8Array(bytes.slice(0, 15)), random.pick([16, 32, 64] as const));
    }
  });
});

Deno.test("random bytes decode as iced-x86 decodes them", () => {
  seeded((random) => {
    const ours = new Instruction(FEATURES);
    const bytes = new Uint8Array(15);
    for (let i = 0; i < ROUNDS; i++) {
      for (let at = 0; at < 15; at++) bytes[at] = random.u32();
      if (random.chance(30)) bytes[0] = 0x0f;
      check(ours, bytes, random.pick([16, 32, 64] as const));
    }
  });
});
