import assert from "node:assert/strict";
import { romCode } from "../../bios/rom/rom.ts";
import { BiosBench } from "./bios_bench.ts";

const SMAP = 0x534d4150;
const bench = () => new BiosBench().post();

Deno.test("INT 15h AX=E820h lists the memory map, EBX 0 at its end (ACPI 5.0 §15.1)", () => {
  const b = bench();
  const ranges: number[][] = [];
  let ebx = 0;
  do {
    const registers = { eax: 0xe820, ebx, ecx: 24, edx: SMAP, edi: 0x80 };
    assert.equal(b.call("int15", registers).carry, false);
    assert.deepEqual([b.fake.eax, b.fake.ecx], [SMAP, 20]);
    const bytes = Uint8Array.from(b.peek(0x20080, 20));
    const data = new DataView(bytes.buffer);
    const [base, length] = [data.getBigUint64(0, true), data.getBigUint64(8, true)];
    ranges.push([Number(base), Number(length), data.getUint32(16, true)]);
    ebx = b.fake.ebx;
  } while (ebx !== 0 && ranges.length < 100);
  assert.deepEqual(ranges, [
    [0, 0x9fc00, 1],
    [0x9fc00, 0x400, 2],
    [0xf0000, 0x10000, 2],
    [0x100000, 15 << 20, 1],
  ]);
});

Deno.test("INT 15h AX=E820h refuses another signature, a short buffer, a wild continuation", () => {
  const b = bench();
  const call = (ebx: number, ecx: number, edx: number) =>
    b.call("int15", { eax: 0xe820, ebx, ecx, edx });
  for (
    const [ebx, ecx, edx] of [[0, 20, 0], [0, 19, SMAP], [4, 20, SMAP], [0xffff_ffff, 20, SMAP]]
  ) {
    const { ah, carry } = call(ebx, ecx, edx);
    assert.deepEqual([ah, carry], [0x86, true]);
  }
});

Deno.test("INT 15h AH=88h, AX=E801h, E881h give sizes in KiB and 64 KiB", () => {
  const b = new BiosBench({ ramBytes: 64 << 20 }).post();
  assert.equal(b.call("int15", { eax: 0x8800 }).ax, 63 * 1024);
  const { ax, bx, cx, dx } = b.call("int15", { eax: 0xe801 });
  assert.deepEqual([ax, bx, cx, dx], [15 * 1024, 48 * 16, 15 * 1024, 48 * 16]);
  b.call("int15", { eax: 0xe881, ebx: 0xffff_ffff });
  assert.deepEqual([b.fake.eax, b.fake.ebx], [15 * 1024, 48 * 16]);
});

Deno.test("INT 15h AH=87h moves words between the addresses of two descriptors", () => {
  const b = bench();
  b.poke(0x1000, [1, 2, 3, 4]);
  const descriptor = (address: number) => [
    0xff,
    0xff,
    address & 0xff,
    address >>> 8 & 0xff,
    address >>> 16 & 0xff,
    0x93,
    0,
    address >>> 24,
  ];
  b.poke(0x20010, descriptor(0x1000));
  b.poke(0x20018, descriptor(0x25_4321));
  const { ah, carry } = b.call("int15", { eax: 0x8700, ecx: 2 });
  assert.deepEqual([ah, carry], [0, false]);
  assert.deepEqual(b.peek(0x25_4321, 5), [1, 2, 3, 4, 0]);
  b.poke(0x20018, descriptor(0xffff_fffe));
  b.call("int15", { eax: 0x8700, ecx: 0xffff });
});

Deno.test("INT 15h AH=86h waits in the guest: halting while a tick is longer than the rest", () => {
  const b = bench();
  b.bench.clock.ns = 5e9;
  assert.equal(b.call("int15", { eax: 0x8600, ecx: 3, edx: 0 }).next, "wait15"); // 196608 µs
  b.bench.clock.ns += 100e6;
  assert.equal(b.call("int15Wait").next, "wait15");
  b.bench.clock.ns += 50e6;
  assert.equal(b.call("int15Wait").next, "spin15");
  b.bench.clock.ns += 47e6;
  const { next, carry } = b.call("int15Wait");
  assert.deepEqual([next, carry], [undefined, false]);
});

Deno.test("INT 15h AH=83h sets bit 7 of the user's byte by the clock's periodic interrupt", () => {
  const b = bench();
  const start = { eax: 0x8300, ebx: 0x40, ecx: 0, edx: 3000 };
  assert.equal(b.call("int15", start).carry, false);
  assert.equal(b.call("int15", start).carry, true, "one at a time");
  for (let i = 0; i < 3; i++) {
    b.bench.advance(1e6);
    b.call("int70");
  }
  assert.equal(b.peek(0x20040, 1)[0], 0);
  b.bench.advance(1e6);
  b.call("int70");
  assert.equal(b.peek(0x20040, 1)[0], 0x80);
  assert.equal(b.call("int15", start).carry, false, "the next may begin");
});

Deno.test("INT 15h AH=C0h, C1h: configuration table and EBDA; AX=2403h: A20 support", () => {
  const b = bench();
  const { bx } = b.call("int15", { eax: 0xc000 });
  assert.equal(b.fake.es.selector * 16 + bx, 0xfe6f5);
  b.call("int15", { eax: 0xc100 });
  assert.equal(b.fake.es.selector, 0x9fc0);
  assert.equal(b.call("int15", { eax: 0x2403 }).bx, 3);
});

Deno.test("INT 15h answers 86h and CF for what it does not have", () => {
  const b = bench();
  for (const eax of [0x5380, 0xd800, 0xec00, 0xe980, 0x0000]) {
    const { ah, carry } = b.call("int15", { eax });
    assert.deepEqual([ah, carry], [0x86, true], eax.toString(16));
  }
});

Deno.test("INT 15h AH=C2h: the mouse is reset, identified and switched on (IBM PS/2 BIOS)", () => {
  const b = bench();
  const service = (eax: number, ebx = 0) => b.call("int15", { eax, ebx, es: 0x4000 });
  const reset = service(0xc201);
  assert.deepEqual([reset.ah, reset.bx, reset.carry], [0, 0x00aa, false]);
  assert.equal(service(0xc205, 0x0300).ah, 0, "packets of three bytes");
  assert.equal(service(0xc200, 0x0100).ah, 5, "no handler yet");
  assert.equal(service(0xc207, 0x1234).ah, 0);
  assert.equal(service(0xc202, 0x0500).ah, 0, "100 reports a second");
  assert.equal(service(0xc202, 0x0700).ah, 2);
  assert.equal(service(0xc203, 0x0400).ah, 2);
  assert.equal(service(0xc204).bx >>> 8, 0);
  assert.equal(service(0xc200, 0x0100).ah, 0);
  const status = service(0xc206);
  assert.equal(status.bx & 0x20, 0x20, "it reports");
  assert.equal(status.dx & 0xff, 100);
});

Deno.test("IRQ 12 collects three bytes and calls the handler with status, X, Y, Z on the stack", () => {
  const b = bench();
  for (const [eax, ebx] of [[0xc205, 0x300], [0xc207, 0x1234], [0xc200, 0x100]]) {
    assert.equal(b.call("int15", { eax, ebx, es: 0x4000 }).ah, 0);
  }
  b.mouse.move(5, 3, 0, 0);
  for (let i = 0; i < 2; i++) {
    b.bench.advance(1e6); // each byte takes its time on the cable
    assert.equal(b.call("int74").next, undefined);
  }
  b.bench.advance(1e6);
  assert.equal(b.call("int74").next, "farReturn");
  const stack = 0x30000 + (b.fake.esp & 0xffff);
  assert.equal(0xff00 - (b.fake.esp & 0xffff), 16);
  const words = Array.from({ length: 8 }, (_, i) => b.memory.readU16(stack + i * 2));
  assert.deepEqual([words[0], words[1], words[3]], [0x1234, 0x4000, 0xf000]);
  assert.deepEqual([words[4], words[6]], [0, 5], "Z and X");
  assert.equal(words[7] & 0x08, 0x08, "status");
});

Deno.test("INT 15h AH=53h: APM 1.2 in real mode idles and switches off (APM 1.2 §4.6)", () => {
  const b = bench();
  const check = b.call("int15", { eax: 0x5300 });
  assert.deepEqual([check.ax, check.bx, check.cx, check.carry], [0x0102, 0x504d, 0, false]);
  assert.equal(b.call("int15", { eax: 0x5301 }).carry, false);
  const refused = b.call("int15", { eax: 0x5303 });
  assert.deepEqual([refused.ah, refused.carry], [8, true]);
  b.call("int15", { eax: 0x5305 });
  assert.equal(b.fake.ip, romCode().label("idle16"));
  assert.equal(b.call("int15", { eax: 0x5307, ebx: 1, ecx: 1 }).next, undefined);
  assert.equal(b.call("int15", { eax: 0x5307, ebx: 1, ecx: 4 }).ah, 0x0a);
  assert.equal(b.call("int15", { eax: 0x5307, ebx: 1, ecx: 3 }).next, "powerOff");
});
