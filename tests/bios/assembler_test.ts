/** Golden bytes are what NASM 2.16 emits for the instruction in the test's name. */

import assert from "node:assert/strict";
import { Assembler, byte, dword, offset, word } from "../../bios/assembler/assembler.ts";

type Emit = (a: Assembler) => void;

const GOLDEN: readonly (readonly [instruction: string, bytes: string, emit: Emit])[] = [
  ["mov ax, 1234h", "b83412", (a) => a.mov("ax", 0x1234)],
  ["mov al, 5", "b005", (a) => a.mov("al", 5)],
  ["mov ebx, 12345678h", "66bb78563412", (a) => a.mov("ebx", 0x12345678)],
  ["mov ds, ax", "8ed8", (a) => a.mov("ds", "ax")],
  ["mov ax, es", "8cc0", (a) => a.mov("ax", "es")],
  ["mov ax, [1234h]", "a13412", (a) => a.mov("ax", word(0x1234))],
  ["mov [1234h], al", "a23412", (a) => a.mov(byte(0x1234), "al")],
  ["mov cx, [bx+si]", "8b08", (a) => a.mov("cx", word(0, "bx+si"))],
  ["mov [bp], dl", "885600", (a) => a.mov(byte(0, "bp"), "dl")],
  ["mov bx, [di-2]", "8b5dfe", (a) => a.mov("bx", word(-2, "di"))],
  ["mov [bx+1234h], ax", "89873412", (a) => a.mov(word(0x1234, "bx"), "ax")],
  ["mov byte [10h], 7fh", "c60610007f", (a) => a.mov(byte(0x10), 0x7f)],
  ["mov word [cs:si+4], 1234h", "2ec744043412", (a) => a.mov(word(4, "si", "cs"), 0x1234)],
  ["mov eax, [cs:1234h]", "2e66a13412", (a) => a.mov("eax", dword(0x1234, undefined, "cs"))],
  ["add ax, 1", "83c001", (a) => a.alu("add", "ax", 1)],
  ["add ax, 1000h", "050010", (a) => a.alu("add", "ax", 0x1000)],
  ["add al, 1", "0401", (a) => a.alu("add", "al", 1)],
  ["cmp bx, 1234h", "81fb3412", (a) => a.alu("cmp", "bx", 0x1234)],
  ["cmp word [6eh], 18h", "833e6e0018", (a) => a.alu("cmp", word(0x6e), 0x18)],
  ["cmp word [6ch], 0b0h", "813e6c00b000", (a) => a.alu("cmp", word(0x6c), 0xb0)],
  ["and byte [3fh], 0f0h", "80263f00f0", (a) => a.alu("and", byte(0x3f), 0xf0)],
  ["xor ax, ax", "31c0", (a) => a.alu("xor", "ax", "ax")],
  ["or cx, [bx]", "0b0f", (a) => a.alu("or", "cx", word(0, "bx"))],
  ["sub [si], dh", "2834", (a) => a.alu("sub", byte(0, "si"), "dh")],
  ["test al, 80h", "a880", (a) => a.test("al", 0x80)],
  ["test bx, 1234h", "f7c33412", (a) => a.test("bx", 0x1234)],
  ["test byte [18h], 8", "f606180008", (a) => a.test(byte(0x18), 8)],
  ["test al, al", "84c0", (a) => a.test("al", "al")],
  ["inc ax", "40", (a) => a.inc("ax")],
  ["inc word [6ch]", "ff066c00", (a) => a.inc(word(0x6c))],
  ["inc byte [70h]", "fe067000", (a) => a.inc(byte(0x70))],
  ["dec dl", "feca", (a) => a.dec("dl")],
  ["dec ebx", "664b", (a) => a.dec("ebx")],
  ["neg ah", "f6dc", (a) => a.neg("ah")],
  ["shl ax, 1", "d1e0", (a) => a.shl("ax", 1)],
  ["shr bl, 4", "c0eb04", (a) => a.shr("bl", 4)],
  ["xchg ax, bx", "93", (a) => a.xchg("ax", "bx")],
  ["xchg cl, [bx]", "860f", (a) => a.xchg(byte(0, "bx"), "cl")],
  ["push ax", "50", (a) => a.push("ax")],
  ["push es", "06", (a) => a.push("es")],
  ["push fs", "0fa0", (a) => a.push("fs")],
  ["push word [bp+4]", "ff7604", (a) => a.push(word(4, "bp"))],
  ["push 5", "6a05", (a) => a.push(5)],
  ["push 1234h", "683412", (a) => a.push(0x1234)],
  ["push eax", "6650", (a) => a.push("eax")],
  ["pop ds", "1f", (a) => a.pop("ds")],
  ["pop gs", "0fa9", (a) => a.pop("gs")],
  ["pop word [20h]", "8f062000", (a) => a.pop(word(0x20))],
  ["in al, 60h", "e460", (a) => a.in("al", 0x60)],
  ["in ax, dx", "ed", (a) => a.in("ax", "dx")],
  ["out 20h, al", "e620", (a) => a.out(0x20, "al")],
  ["out dx, eax", "66ef", (a) => a.out("dx", "eax")],
  ["int 10h", "cd10", (a) => a.int(0x10)],
  ["iret", "cf", (a) => a.iret()],
  ["retf", "cb", (a) => a.retf()],
  ["jmp 0f000h:0e05bh", "ea5be000f0", (a) => a.jmpFar(0xf000, 0xe05b)],
  ["jmp far [467h]", "ff2e6704", (a) => a.jmpFarThrough(dword(0x467))],
  ["call far [es:bx+22h]", "26ff5f22", (a) => a.callFarThrough(dword(0x22, "bx", "es"))],
  ["lgdt [cs:1234h]", "2e0f01163412", (a) => a.lgdt(dword(0x1234, undefined, "cs"))],
  ["lidt [bx]", "0f011f", (a) => a.lidt(dword(0, "bx"))],
  ["cpuid", "0fa2", (a) => a.cpuid()],
  ["rdtsc", "0f31", (a) => a.rdtsc()],
  ["wbinvd", "0f09", (a) => a.wbinvd()],
  ["mov eax, cr0", "0f20c0", (a) => a.movEaxCr0()],
  ["mov cr0, eax", "0f22c0", (a) => a.movCr0Eax()],
  ["pause", "f390", (a) => a.pause()],
  ["dw 1, 0ffffh", "0100ffff", (a) => a.dw(1, 0xffff)],
  ["dd 12345678h", "78563412", (a) => a.dd(0x12345678)],
];

const hex = (bytes: Uint8Array): string =>
  [...bytes].map((value) => value.toString(16).padStart(2, "0")).join("");

function assembled(emit: Emit): string {
  const a = new Assembler(512);
  emit(a);
  const length = a.here;
  a.link();
  return hex(a.image.subarray(0, length));
}

Deno.test("assembler emits what NASM does", () => {
  const got = GOLDEN.map(([instruction, , emit]) => `${instruction}: ${assembled(emit)}`);
  assert.deepEqual(got, GOLDEN.map(([instruction, bytes]) => `${instruction}: ${bytes}`));
});

Deno.test("assembler resolves labels before and after the jump", () => {
  const text = assembled((a) => {
    a.label("start");
    a.jmp("end"); // e9 03 00
    a.jcc("nz", "start"); // 75 fb
    a.nop();
    a.label("end");
    a.loop("start"); // e2 f8
    a.call("start"); // e8 f5 ff
    a.mov("si", offset("end", 2)); // be 08 00
  });
  assert.equal(text, "e9030075fb90e2f8e8f5ffbe0800");
});

Deno.test("assembler refuses what cannot be encoded", () => {
  const far: Emit = (a) => {
    a.jmpShort("far");
    a.org(300);
    a.label("far");
  };
  assert.throws(() => assembled(far), /298 bytes to far with a short jump/);
  assert.throws(() => assembled((a) => a.jmp("nowhere")), /label nowhere/);
  assert.throws(() => assembled((a) => a.mov("ax", byte(1, "bx"))), /sizes differ/);
  assert.throws(() => assembled((a) => a.mov("ax", byte(1))), /sizes differ/);
  assert.throws(() => assembled((a) => a.jcc("xx", "start")), /jxx/);
  const twice: Emit = (a) => {
    a.label("x");
    a.label("x");
  };
  assert.throws(() => assembled(twice), /label x twice/);
});
