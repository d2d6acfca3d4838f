/** Examples from the manuals for SSSE3, SSE4, AES-NI and PCLMULQDQ, where there is no processor to ask. */

import assert from "node:assert/strict";
import { softVm } from "./support/soft_vm.ts";
import { UserMachine } from "./support/user_machine.ts";

/** Where `UserMachine` stores the registers. */
const VECTORS_AFTER = 0x2f00;

const machine = new UserMachine((memory) => softVm({ memory, cpus: 1 }));

/** Runs one instruction on XMM0 and XMM1. */
function run(code: number[], first: Uint8Array, second: Uint8Array) {
  const vectors = new Uint8Array(256);
  vectors.set(first);
  vectors.set(second, 16);
  const registers = Array.from({ length: 16 }, () => 0n);
  const outcome = machine.run({ bytes: code, registers, flags: 2, vectors });
  return { ...outcome, xmm0: machine.data.slice(VECTORS_AFTER, VECTORS_AFTER + 16) };
}

/** A vector as the manuals write it, the highest byte first. */
const vector = (text: string) => Uint8Array.fromHex(text).reverse();
const written = (bytes: Uint8Array) => bytes.slice().reverse().toHex();
/** A string with zeros after it. */
function string(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
}

const STATE = "7b5b54657374566563746f725d53475d";
const KEY = "48692853686179295b477565726f6e5d";

// Gueron, Intel Advanced Encryption Standard (AES) New Instructions Set, 2010: "Code examples".
for (
  const [name, opcode, result] of [
    ["AESENC", 0xdc, "a8311c2f9fdba3c58b104b58ded7e595"],
    ["AESENCLAST", 0xdd, "c7fb881e938c5964177ec42553fdc611"],
    ["AESDEC", 0xde, "138ac342faea2787b58eb95eb730392a"],
    ["AESDECLAST", 0xdf, "c5a391ef6b317f95d410637b72a593d0"],
  ] as const
) {
  Deno.test(`${name} does the round of Intel's example`, () => {
    const { xmm0 } = run([0x66, 0x0f, 0x38, opcode, 0xc1], vector(STATE), vector(KEY));
    assert.equal(written(xmm0), result);
  });
}

Deno.test("AESIMC and AESKEYGENASSIST give what Intel's examples give", () => {
  const inverse = run([0x66, 0x0f, 0x38, 0xdb, 0xc1], vector(KEY), vector(STATE));
  assert.equal(written(inverse.xmm0), "627a6f6644b109c82b18330a81c3b3e5");
  // The key of FIPS 197, A.1.
  const key = vector("3c4fcf098815f7aba6d2ae2816157e2b");
  const assisted = run([0x66, 0x0f, 0x3a, 0xdf, 0xc1, 1], vector(STATE), key);
  assert.equal(written(assisted.xmm0), "01eb848beb848a013424b5e524b5e434");
});

// Gueron and Kounavis, Intel Carry-Less Multiplication Instruction, 2010: figure 4 and around it.
for (
  const [immediate, result] of [
    [0x00, "1d4d84c85c3440c0929633d5d36f0451"],
    [0x10, "1bd17c8d556ab5a17fa540ac2a281315"],
    [0x01, "1a2bf6db3a30862fbabf262df4b7d5c9"],
    [0x11, "1d1e1f2c592e7c45d66ee03e410fd4ed"],
  ] as const
) {
  Deno.test(`PCLMULQDQ with ${immediate.toString(16)}h multiplies Intel's polynomials`, () => {
    const code = [0x66, 0x0f, 0x3a, 0x44, 0xc1, immediate];
    assert.equal(written(run(code, vector(STATE), vector(KEY)).xmm0), result);
  });
}

const CF = 1;
const ZF = 1 << 6;
const RCX = 1;

Deno.test("PCMPISTRI finds a string within another, or 16 (4.1, equal ordered)", () => {
  const find = [0x66, 0x0f, 0x3a, 0x63, 0xc1, 0x0c];
  const found = run(find, string("lo w"), string("hello world"));
  assert.equal(found.registers[RCX], 3n);
  assert.equal(found.flags & (CF | ZF), CF | ZF, "it is there, and the text ends in the vector");
  const absent = run(find, string("low"), string("hello world"));
  assert.equal(absent.registers[RCX], 16n);
  assert.equal(absent.flags & CF, 0);
});

Deno.test("PCMPISTRM marks the letters of a range (4.1, ranges, byte mask)", () => {
  const code = [0x66, 0x0f, 0x3a, 0x62, 0xc1, 0x44];
  const { xmm0 } = run(code, string("az"), string("a1Bz"));
  assert.equal(xmm0.toHex(), "ff0000ff".padEnd(32, "0"));
});

Deno.test("PSHUFB takes bytes by index, and 0 where bit 7 of it is set (PSHUFB)", () => {
  const bytes = vector("0f0e0d0c0b0a09080706050403020100");
  const control = vector("80ff000102030405060708090a0b0c0d");
  const { xmm0 } = run([0x66, 0x0f, 0x38, 0x00, 0xc1], bytes, control);
  assert.equal(written(xmm0), "0000000102030405060708090a0b0c0d");
});

Deno.test("PMULHRSW of -1 and -1 is -1, the one product that does not fit (PMULHRSW)", () => {
  const least = vector("8000".repeat(8));
  const { xmm0 } = run([0x66, 0x0f, 0x38, 0x0b, 0xc1], least, least);
  assert.equal(written(xmm0), "8000".repeat(8));
});
