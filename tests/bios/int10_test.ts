/** IBM VGA Technical Reference, BIOS interface. */

import assert from "node:assert/strict";
import { BiosBench } from "./bios_bench.ts";

const bench = () => {
  const b = new BiosBench().post();
  b.call("int10", { eax: 0x0003 });
  return b;
};

const put = (b: BiosBench, text: string) => {
  for (const letter of text) b.call("int10", { eax: 0x0e00 | letter.charCodeAt(0), ebx: 7 });
};

Deno.test("INT 10h AH=00h sets mode 3: 80×25, page of 4096 bytes, cursor at home, cleared", () => {
  const b = bench();
  put(b, "junk");
  b.call("int10", { eax: 0x0003 });
  assert.equal(b.screen, "");
  assert.equal(b.memory.readU8(0x449), 3);
  assert.deepEqual([0x44a, 0x44c, 0x44e, 0x450, 0x463].map((at) => b.memory.readU16(at)), [
    80,
    0x1000,
    0,
    0,
    0x3d4,
  ]);
  assert.deepEqual([b.memory.readU8(0x484), b.memory.readU8(0x485)], [24, 16]);
  const state = b.call("int10", { eax: 0x0f00 });
  assert.deepEqual([state.al, state.ah, state.bx >>> 8], [3, 80, 0]);
});

Deno.test("INT 10h AH=00h with bit 7 keeps the screen; a mode that is not there changes nothing", () => {
  const b = bench();
  put(b, "kept");
  b.call("int10", { eax: 0x0083 });
  assert.equal(b.row(0), "kept");
  b.call("int10", { eax: 0x0066 });
  assert.equal(b.memory.readU8(0x449), 3);
});

Deno.test("INT 10h AH=02h and 03h move the cursor and tell it, and the CRTC follows", () => {
  const b = bench();
  b.call("int10", { eax: 0x0200, edx: 0x0a05 });
  const { dx, cx } = b.call("int10", { eax: 0x0300 });
  assert.deepEqual([dx, cx], [0x0a05, 0x0d0e]);
  b.ports.write(0x3d4, 1, 0x0e);
  const high = b.ports.read(0x3d5, 1);
  b.ports.write(0x3d4, 1, 0x0f);
  assert.equal(high << 8 | b.ports.read(0x3d5, 1), 10 * 80 + 5);
});

Deno.test("INT 10h AH=0Eh obeys CR, LF, BS, wraps and scrolls", () => {
  const b = bench();
  put(b, "ab\b\bX\r\nsecond");
  assert.deepEqual([b.row(0), b.row(1)], ["Xb", "second"]);
  b.call("int10", { eax: 0x0200, edx: 0x184e });
  put(b, "wrap");
  assert.equal(b.row(0), "second", "everything moved up");
  assert.deepEqual([b.row(23).slice(78), b.row(24)], ["wr", "ap"]);
  assert.equal(b.call("int10", { eax: 0x0300 }).dx, 0x1802);
});

Deno.test("INT 10h AH=06h and 07h scroll a box, AL=0 clears it with the attribute", () => {
  const b = bench();
  put(b, "aaaa\r\nbbbb\r\ncccc");
  b.call("int10", { eax: 0x0601, ebx: 0x1700, ecx: 0x0001, edx: 0x0202 });
  assert.deepEqual([b.row(0), b.row(1), b.row(2)], ["abba", "bccb", "c  c"]);
  assert.equal(b.mmio.read(0xb8000 + (2 * 80 + 1) * 2 + 1, 1), 0x17);
  b.call("int10", { eax: 0x0701, ebx: 0x0700, ecx: 0x0000, edx: 0x024f });
  assert.deepEqual([b.row(0), b.row(1), b.row(2)], ["", "abba", "bccb"]);
  b.call("int10", { eax: 0x0600, ebx: 0x1e00, ecx: 0, edx: 0xffff });
  assert.equal(b.screen, "");
  assert.equal(b.mmio.read(0xb8001, 1), 0x1e);
});

Deno.test("INT 10h AH=08h, 09h, 0Ah read and write characters at the cursor, not moving it", () => {
  const b = bench();
  b.call("int10", { eax: 0x0941, ebx: 0x1e, ecx: 3 });
  assert.equal(b.call("int10", { eax: 0x0800 }).ax, 0x1e41);
  b.call("int10", { eax: 0x0a42, ebx: 0x70, ecx: 1 });
  assert.equal(b.call("int10", { eax: 0x0800 }).ax, 0x1e42, "AH=0Ah keeps the attribute");
  assert.equal(b.row(0), "BAA");
  b.call("int10", { eax: 0x0943, ebx: 7, ecx: 0xffff });
  assert.equal(b.row(24), "C".repeat(80), "a count beyond the screen ends there");
});

Deno.test("INT 10h AH=13h writes a string with and without attributes and cursor", () => {
  const b = bench();
  b.poke(0x20010, new TextEncoder().encode("hello"));
  b.call("int10", { eax: 0x1301, ebx: 0x1f, ecx: 5, edx: 0x0302, ebp: 0x10 });
  assert.equal(b.row(3), "  hello");
  assert.equal(b.mmio.read(0xb8000 + (3 * 80 + 2) * 2 + 1, 1), 0x1f);
  assert.equal(b.call("int10", { eax: 0x0300 }).dx, 0x0307);
  b.poke(0x20010, [0x78, 0x2a, 0x79, 0x2b]);
  b.call("int10", { eax: 0x1302, ebx: 0, ecx: 2, edx: 0x0500, ebp: 0x10 });
  assert.deepEqual([0, 2].map((at) => b.mmio.read(0xb8000 + 5 * 160 + at, 2)), [0x2a78, 0x2b79]);
  assert.equal(b.call("int10", { eax: 0x0300 }).dx, 0x0307, "the cursor stays");
});

Deno.test("INT 10h AH=05h shows another page, whose cursor is its own", () => {
  const b = bench();
  b.call("int10", { eax: 0x0501 });
  assert.deepEqual([b.memory.readU8(0x462), b.memory.readU16(0x44e)], [1, 0x1000]);
  put(b, "page one");
  assert.equal(b.row(0), "");
  assert.equal(b.mmio.read(0xb9000, 1), 0x70);
});

Deno.test("INT 10h AX=1003h-1017h: palette registers, blinking and DAC", () => {
  const b = bench();
  b.call("int10", { eax: 0x1000, ebx: 0x2a03 });
  assert.equal(b.call("int10", { eax: 0x1007, ebx: 3 }).bx, 0x2a03);
  b.call("int10", { eax: 0x1010, ebx: 0x20, ecx: 0x1516, edx: 0x1400 });
  const color = b.call("int10", { eax: 0x1015, ebx: 0x20 });
  assert.deepEqual([color.dx >>> 8, color.cx], [0x14, 0x1516]);
  b.call("int10", { eax: 0x1017, ebx: 0x20, ecx: 1, edx: 0x40 });
  assert.deepEqual(b.peek(0x20040, 3), [0x14, 0x15, 0x16]);
  b.call("int10", { eax: 0x1009, edx: 0x80 });
  assert.equal(b.peek(0x20083, 1)[0], 0x2a);
});

Deno.test("INT 10h AX=1112h loads the 8×8 font: 50 rows; AX=1130h tells where fonts are", () => {
  const b = bench();
  b.call("int10", { eax: 0x1112 });
  assert.deepEqual([b.memory.readU8(0x484), b.memory.readU8(0x485)], [49, 8]);
  const info = b.call("int10", { eax: 0x1130, ebx: 0x0300 });
  assert.deepEqual([info.cx, info.dx & 0xff], [8, 49]);
  const at = b.fake.es.selector * 16 + (b.fake.ebp & 0xffff);
  assert.equal(at, 0xffa6e);
});

Deno.test("INT 10h AH=12h, 1Ah, 1Bh: a VGA with 256 KiB and a colour monitor", () => {
  const b = bench();
  assert.equal(b.call("int10", { eax: 0x1200, ebx: 0x10 }).bx, 0x0003);
  const { al, bx } = b.call("int10", { eax: 0x1a00 });
  assert.deepEqual([al, bx & 0xff], [0x1a, 0x08]);
  assert.equal(b.call("int10", { eax: 0x1b00, edi: 0x100 }).al, 0x1b);
  const table = b.peek(0x20100, 64);
  assert.deepEqual([table[4], table[5], table[0x22], table[0x25], table[0x31]], [3, 80, 25, 8, 3]);
  assert.equal(b.call("int10", { eax: 0x4f00 }).ax, 0x4f00, "no VESA: AX is what it was");
});

for (
  const [mode, name] of [[4, "CGA"], [6, "CGA 2 colours"], [0x0d, "EGA"], [0x12, "VGA"], [
    0x13,
    "256 colours",
  ]] as const
) {
  Deno.test(`INT 10h AH=0Ch and 0Dh set and read dots in mode ${mode.toString(16)}h (${name})`, () => {
    const b = bench();
    b.call("int10", { eax: mode });
    b.call("int10", { eax: 0x0c01, ecx: 101, edx: 57 });
    const read = (ecx: number, edx: number) => b.call("int10", { eax: 0x0d00, ecx, edx }).al;
    assert.deepEqual([read(101, 57), read(100, 57), read(101, 56)], [1, 0, 0]);
    b.call("int10", { eax: 0x0c81, ecx: 101, edx: 57 });
    if (mode !== 0x13) assert.equal(read(101, 57), 0, "bit 7 XORs");
    b.call("int10", { eax: 0x0c01, ecx: 9999, edx: 9999 });
  });

  Deno.test(`INT 10h draws, recognises and scrolls characters in mode ${mode.toString(16)}h`, () => {
    const b = bench();
    b.call("int10", { eax: mode });
    b.call("int10", { eax: 0x0200, edx: 0x0102 });
    b.call("int10", { eax: 0x0e41, ebx: 0x0001 });
    b.call("int10", { eax: 0x0200, edx: 0x0102 });
    assert.equal(b.call("int10", { eax: 0x0800 }).al, 0x41);
    b.call("int10", { eax: 0x0601, ecx: 0, edx: 0x1827 });
    b.call("int10", { eax: 0x0200, edx: 0x0002 });
    assert.equal(b.call("int10", { eax: 0x0800 }).al, 0x41, "one row higher");
    b.call("int10", { eax: 0x0200, edx: 0x0102 });
    assert.notEqual(b.call("int10", { eax: 0x0800 }).al, 0x41);
  });
}
