import assert from "node:assert/strict";
import { BiosBench } from "./bios_bench.ts";

const bench = () => new BiosBench().post();

Deno.test("INT 1Ah AH=00h and 01h read and set the ticks; midnight is reported once", () => {
  const b = bench();
  b.call("int1a", { eax: 0x0100, ecx: 0x0012, edx: 0x3456 });
  b.memory.writeU8(0x470, 1);
  const { cx, dx, al } = b.call("int1a", { eax: 0x0000 });
  assert.deepEqual([cx, dx, al], [0x0012, 0x3456, 1]);
  assert.equal(b.call("int1a", { eax: 0x0000 }).al, 0);
});

Deno.test("INT 1Ah AH=02h, 04h read and AH=03h, 05h set the clock, in BCD", () => {
  const b = bench();
  const time = b.call("int1a", { eax: 0x0200 });
  assert.deepEqual([time.cx, time.dx >>> 8, time.carry], [0x0146, 0x40, false]);
  const date = b.call("int1a", { eax: 0x0400 });
  assert.deepEqual([date.cx, date.dx], [0x2001, 0x0909]);
  b.call("int1a", { eax: 0x0300, ecx: 0x2359, edx: 0x5800 });
  b.call("int1a", { eax: 0x0500, ecx: 0x1999, edx: 0x1231 });
  assert.equal(b.call("int1a", { eax: 0x0200 }).cx, 0x2359);
  assert.deepEqual([b.call("int1a", { eax: 0x0400 })].map(({ cx, dx }) => [cx, dx]), [[
    0x1999,
    0x1231,
  ]]);
});

Deno.test("INT 1Ah AH=06h sets one alarm, IRQ 8 then has INT 4Ah called, AH=07h takes it back", () => {
  const b = bench();
  const set = () => b.call("int1a", { eax: 0x0600, ecx: 0x0146, edx: 0x4200 }).carry;
  assert.deepEqual([set(), set()], [false, true]);
  b.bench.advance(1e9);
  assert.equal(b.call("int70").next, undefined);
  b.bench.advance(1.5e9);
  assert.equal(b.call("int70").next, "alarm");
  b.call("int1a", { eax: 0x0700 });
  assert.equal(set(), false);
});

/** A bus with an IDE controller at 00:01.1 and a network card at 00:03.0, sizing as devices do. */
function addPci(b: BiosBench): Map<number, number> {
  const registers = new Map<number, number>([
    [0x0000_0000, 0x1237_8086],
    [0x0000_0008, 0x0600_0000],
    [0x0000_0800, 0x7000_8086],
    [0x0000_0808, 0x0601_0000],
    [0x0000_080c, 0x0080_0000],
    [0x0000_0900, 0x7010_8086],
    [0x0000_0908, 0x0101_8000],
    [0x0000_1800, 0x100e_8086],
    [0x0000_1808, 0x0200_0000],
    [0x0000_183c, 0x0000_0100],
  ]);
  const sizes = new Map([[0x920, 0xffff_fff1], [0x1810, 0xfffe_0000], [0x1814, 0xffff_ffc1]]);
  let address = 0;
  const key = () => (address & 0x00ff_fffc) >>> 0;
  const read = (offset: number, size: number) => {
    const fallback = key() % 256 === 0 ? 0xffff_ffff : 0;
    const value = registers.get(key()) ?? fallback;
    return (value >>> (offset * 8)) & (size === 4 ? -1 : (1 << (size * 8)) - 1);
  };
  const write = (offset: number, size: number, value: number) => {
    const at = key();
    if (at % 256 === 0 || at % 256 === 8) return;
    const size4 = sizes.get(at);
    if (size4 === undefined && at % 256 >= 0x10 && at % 256 < 0x34) return;
    const mask = size === 4 ? -1 : ((1 << (size * 8)) - 1) << (offset * 8);
    let next = ((registers.get(at) ?? 0) & ~mask) | ((value << (offset * 8)) & mask);
    if (size4 !== undefined) next = (next & size4) | (size4 & 1);
    registers.set(at, next >>> 0);
  };
  const widths = { max: 4 } as const;
  b.ports.claim({
    name: "pci address",
    base: 0xcf8,
    length: 4,
    widths: { min: 4, max: 4 },
    device: { read: () => address, write: (_o, _s, value) => address = value },
  });
  b.ports.claim({ name: "pci data", base: 0xcfc, length: 4, widths, device: { read, write } });
  return registers;
}

Deno.test("POST gives PCI functions addresses, interrupts and decoding (PCI 2.1 §6.2.5)", () => {
  const b = new BiosBench();
  const registers = addPci(b);
  b.post();
  assert.equal(registers.get(0x1810), 0xc000_0000, "memory in the hole");
  assert.equal(registers.get(0x1814), 0xc001, "ports from C000h, the largest first");
  assert.equal(registers.get(0x920), 0xc041);
  assert.equal(registers.get(0x1804)! & 7, 7, "ports, memory, bus master");
  assert.equal(registers.get(0x904)! & 7, 5);
  assert.equal(registers.get(0x183c)! & 0xff, 11, "INTA of device 3 is PIRQC: 11");
  assert.equal(registers.get(0x860), 0x0b0b_0a0a, "PIRQRC A to D");
  assert.equal(registers.get(0x5c), 0x3333_3333, "C0000h-EFFFFh are RAM");
});

Deno.test("PCI BIOS: presence, search by identity and class, configuration space (PCI BIOS 2.1)", () => {
  const b = new BiosBench();
  addPci(b);
  b.post();
  const present = b.call("int1a", { eax: 0xb101 });
  assert.deepEqual([present.ah, present.al, present.bx, present.carry], [0, 1, 0x0210, false]);
  assert.equal(b.fake.edx, 0x20494350);
  const find = (registers: object) => {
    const { ah, bx } = b.call("int1a", registers);
    return ah === 0 ? bx : -ah;
  };
  assert.equal(find({ eax: 0xb102, ecx: 0x100e, edx: 0x8086, esi: 0 }), 0x18);
  assert.equal(find({ eax: 0xb102, ecx: 0x100e, edx: 0x8086, esi: 1 }), -0x86);
  assert.equal(find({ eax: 0xb102, edx: 0xffff }), -0x83);
  assert.equal(find({ eax: 0xb103, ecx: 0x010180 }), 0x09);
  const read = (eax: number, edi: number) => {
    const { ah } = b.call("int1a", { eax, ebx: 0x18, edi });
    return ah === 0 ? b.fake.ecx : -ah;
  };
  assert.deepEqual([read(0xb108, 1), read(0xb109, 0), read(0xb10a, 0)], [0x80, 0x8086, 0x100e8086]);
  assert.deepEqual([read(0xb109, 1), read(0xb10a, 2)], [-0x87, -0x87]);
  b.call("int1a", { eax: 0xb10b, ebx: 0x18, ecx: 0x55, edi: 0x3c });
  assert.equal(read(0xb108, 0x3c), 0x55);
  assert.equal(b.call("int1a", { eax: 0xb1ff }).ah, 0x81);
});

Deno.test("PCI BIOS AL=0Eh returns the routing table, or how much room it needs (PCI BIOS 2.1 §4.6)", () => {
  const b = bench();
  b.poke(0x20000, [0, 0, 0x00, 0x10, 0x00, 0x40]);
  assert.equal(b.call("int1a", { eax: 0xb10e }).ah, 0x89);
  const needed = b.memory.readU16(0x20000);
  assert.equal(needed, 31 * 16);
  const { ah, bx } = b.call("int1a", { eax: 0xb10e });
  assert.deepEqual([ah, bx], [0, 0]);
  assert.deepEqual(b.peek(0x41000, 3), [0, 8, 0x60], "device 1, INTA to PIRQA");
});

Deno.test("BIOS32: the directory knows $PCI and its entry answers in EFLAGS", () => {
  const b = bench();
  b.call("bios32", { eax: 0x4943_5024 });
  assert.deepEqual([b.fake.eax & 0xff, b.fake.ebx, b.fake.ecx], [0, 0xf0000, 0x10000]);
  b.call("bios32", { eax: 0x1234_5678 });
  assert.equal(b.fake.eax & 0xff, 0x80);
  b.call("pciBios32", { eax: 0xb101 });
  assert.deepEqual([b.fake.eax & 0xff00, b.fake.eflags & 1], [0, 0]);
  b.call("pciBios32", { eax: 0x1234 });
  assert.equal(b.fake.eflags & 1, 1);
});
