import assert from "node:assert/strict";
import { numberDrives } from "../../bios/media/drives.ts";
import { diskGeometry } from "../../hv/core/media/disk_geometry.ts";
import { translate } from "../../bios/paging.ts";
import { BiosBench } from "./bios_bench.ts";

const FLOPPY_BYTES = 1440 * 1024;
const DISK_BYTES = 64 << 20;

/** A medium whose sector n is filled with the byte n, XORed with its higher bytes. */
function medium(bytes: number): Uint8Array {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 512) {
    const sector = at / 512;
    data.fill((sector ^ (sector >>> 8) ^ 0x5a) & 0xff, at, at + 512);
  }
  return data;
}

const fill = (sector: number): number => (sector ^ (sector >>> 8) ^ 0x5a) & 0xff;

const bench = (options = {}) =>
  new BiosBench({ floppy: medium(FLOPPY_BYTES), disk: medium(DISK_BYTES), ...options }).post();

Deno.test("INT 13h AH=02h reads sectors by cylinder, head and sector to ES:BX", () => {
  const b = bench();
  // Cylinder 1, head 1, sector 3 of a diskette: (1 * 2 + 1) * 18 + 2 = 56.
  const result = b.call("int13", { eax: 0x0202, ebx: 0x100, ecx: 0x0103, edx: 0x0100 });
  assert.deepEqual([result.ah, result.al, result.carry], [0, 2, false]);
  assert.deepEqual(b.peek(0x20100, 2), [fill(56), fill(56)]);
  assert.equal(b.peek(0x20300, 1)[0], fill(57));
  assert.equal(b.peek(0x20500, 1)[0], 0, "no more than was asked for");
});

Deno.test("INT 13h AH=02h takes cylinder bits 8 and 9 from CL and reads 127 sectors at once", () => {
  const b = bench();
  const { heads, sectors } = diskGeometry(DISK_BYTES);
  const ecx = 0x04_01; // cylinder 4, sector 1
  const result = b.call("int13", { eax: 0x027f, ecx, edx: 0x0080, es: 0x4000 });
  assert.deepEqual([result.ah, result.al, result.carry], [0, 0x7f, false]);
  assert.equal(b.peek(0x40000, 1)[0], fill(4 * heads * sectors));
  assert.equal(b.peek(0x40000 + 126 * 512, 1)[0], fill(4 * heads * sectors + 126));
  // Cylinder 300 is beyond the end of 64 MiB.
  const beyond = b.call("int13", { eax: 0x0201, ecx: 0x2c41, edx: 0x0080 });
  assert.deepEqual([beyond.ah, beyond.al, beyond.carry], [4, 0, true]);
});

Deno.test("INT 13h AH=02h refuses sector 0, heads and sectors that the geometry has not, count 0", () => {
  const b = bench();
  const status = (eax: number, ecx: number, edx: number) => b.call("int13", { eax, ecx, edx }).ah;
  assert.equal(status(0x0201, 0x0000, 0x0000), 4);
  assert.equal(status(0x0201, 0x0013, 0x0000), 4);
  assert.equal(status(0x0201, 0x0001, 0x0200), 4);
  assert.equal(status(0x0200, 0x0001, 0x0000), 1);
  assert.equal(b.call("int13", { eax: 0x0100 }).ah, 1, "AH=01h repeats the last status");
});

Deno.test("INT 13h AH=03h writes, and reports write protection with status 03h", () => {
  const b = bench();
  b.poke(0x20000, new Uint8Array(512).fill(0xee));
  const written = b.call("int13", { eax: 0x0301, ecx: 0x0002, edx: 0x0080 });
  assert.deepEqual([written.ah, written.al, written.carry], [0, 1, false]);
  b.call("int13", { eax: 0x0201, ebx: 0x1000, ecx: 0x0002, edx: 0x0080 });
  assert.deepEqual(b.peek(0x21000, 2), [0xee, 0xee]);
  const locked = bench({ readOnly: true });
  const refused = locked.call("int13", { eax: 0x0301, ecx: 0x0001, edx: 0x0000 });
  assert.deepEqual([refused.ah, refused.carry], [3, true]);
});

Deno.test("INT 13h reports a changed diskette once with status 06h", () => {
  const b = bench();
  b.drives[0].port.state.changed = true;
  assert.equal(b.call("int13", { eax: 0x0201, ecx: 0x0001 }).ah, 6);
  assert.equal(b.call("int13", { eax: 0x0201, ecx: 0x0001 }).ah, 0);
  b.drives[0].port.state.changed = true;
  assert.equal(b.call("int13", { eax: 0x1600 }).ah, 6, "AH=16h, change line");
  assert.equal(b.call("int13", { eax: 0x1600 }).ah, 0);
});

Deno.test("INT 13h answers 80h (not ready) for a diskette drive without a diskette", () => {
  const b = bench();
  b.drives[0].port.setMedium(undefined);
  const result = b.call("int13", { eax: 0x0201, ecx: 0x0001 });
  assert.deepEqual([result.ah, result.carry], [0x80, true]);
});

Deno.test("INT 13h AH=08h gives last cylinder, head, sectors, drive type and count", () => {
  const b = bench();
  const floppy = b.call("int13", { eax: 0x0800 });
  assert.deepEqual([floppy.cx, floppy.dx, floppy.bx], [0x4f12, 0x0101, 4]);
  assert.equal(b.fake.es.selector * 16 + (b.fake.edi & 0xffff), 0xfefc7);
  const disk = b.call("int13", { eax: 0x0800, edx: 0x80 });
  const { cylinders, heads, sectors } = diskGeometry(DISK_BYTES);
  assert.equal(disk.cx, ((cylinders - 1) & 0xff) << 8 | ((cylinders - 1) >> 2 & 0xc0) | sectors);
  assert.equal(disk.dx, (heads - 1) << 8 | 1);
  assert.equal(b.call("int13", { eax: 0x0800, edx: 0x85 }).carry, true, "no such disk");
});

Deno.test("INT 13h AH=08h has a 720K diskette in a 1.44M drive, as CMOS has it", () => {
  const b = new BiosBench({ floppy: medium(720 * 1024) }).post();
  const { cx, dx, bx } = b.call("int13", { eax: 0x0800 });
  assert.deepEqual([cx, dx, bx], [0x4f09, 0x0101, 4]);
});

Deno.test("INT 13h uses the geometry that a disk was partitioned with", () => {
  const diskGeometry = { cylinders: 615, heads: 4, sectors: 17 };
  const b = new BiosBench({ disk: medium(615 * 4 * 17 * 512), diskGeometry }).post();
  const { cx, dx } = b.call("int13", { eax: 0x0800, edx: 0x80 });
  assert.deepEqual([cx, dx], [0x6691, 0x0301]);
  // Cylinder 1, head 2, sector 3.
  const read = b.call("int13", { eax: 0x0201, ecx: 0x0103, edx: 0x0280 });
  assert.deepEqual([read.ah, b.peek(0x20000, 1)[0]], [0, fill((4 + 2) * 17 + 2)]);
});

Deno.test("INT 13h leaves the controller at the diskette's data rate (82077AA, 2.1.4; 40:90h)", () => {
  const rates: number[] = [];
  for (const kib of [360, 720, 1200, 1440, 2880]) {
    const b = new BiosBench({ floppy: medium(kib * 1024) }).post();
    const write = (_offset: number, _size: number, value: number) => rates.push(value);
    b.ports.claim({ name: "ccr", base: 0x3f7, length: 1, device: { read: () => 0, write } });
    assert.equal(b.call("int13", { eax: 0x0201, ecx: 0x0001 }).ah, 0);
    rates.push(b.peek(0x490, 1)[0]);
  }
  assert.deepEqual(rates, [2, 0x93, 2, 0x97, 0, 0x15, 0, 0x17, 3, 0xd7]);
});

Deno.test("INT 13h AH=15h tells diskette, disk with its sectors, and nothing", () => {
  const b = bench();
  assert.equal(b.call("int13", { eax: 0x1500 }).ah, 2);
  const disk = b.call("int13", { eax: 0x1500, edx: 0x80 });
  const { cylinders, heads, sectors } = diskGeometry(DISK_BYTES);
  assert.equal(disk.ah, 3);
  assert.equal(disk.cx * 65536 + disk.dx, (cylinders - 1) * heads * sectors);
  const none = b.call("int13", { eax: 0x1500, edx: 0x83 });
  assert.deepEqual([none.ah, none.carry], [0, false]);
});

Deno.test("INT 13h asks again later when the machine is to stop during a request", () => {
  const b = bench();
  const { port } = b.drives[1];
  port.start = (op, offset, length, address = -1) => {
    Object.assign(port.state, { op, offset, length, guestAddress: address });
    Atomics.store(port.state.phase, 0, 1); // posted, and nobody serves it
  };
  b.stopped = true;
  const result = b.call("int13", { eax: 0x0201, ecx: 0x0001, edx: 0x0080 });
  assert.equal(result.next, "retry13");
  assert.equal(result.ax, 0x0201, "the registers are as they were");
});

Deno.test("INT 13h reads into the video window and not into the ROM", () => {
  const b = bench();
  b.call("int13", { eax: 0x0201, ecx: 0x0001, edx: 0x0080, es: 0xb800 });
  assert.equal(b.mmio.read(0xb8000, 1), fill(0));
  const before = b.rom.bytes.slice();
  assert.equal(b.call("int13", { eax: 0x0201, ecx: 0x0001, edx: 0x80, es: 0xf000 }).ah, 0);
  assert.deepEqual(b.rom.bytes, before);
});

Deno.test("INT 13h transfers to where paging puts the buffer (V86 mode; SDM 3, 4.3)", () => {
  const b = new BiosBench({ disk: medium(DISK_BYTES) }).post();
  const entry = (at: number, value: number) => b.memory.writeU32(at, value);
  entry(0x10_0000, 0x10_1007); // page directory at 1 MiB, one table behind it
  for (let page = 0; page < 0x110; page++) entry(0x10_1000 + page * 4, page << 12 | 7);
  // 40000h-41FFFh lie at 2 MiB, 50000h and 51000h apart from each other, 52000h nowhere.
  entry(0x10_1000 + 0x40 * 4, 0x20_0007);
  entry(0x10_1000 + 0x41 * 4, 0x20_1007);
  entry(0x10_1000 + 0x50 * 4, 0x30_0007);
  entry(0x10_1000 + 0x51 * 4, 0x38_0007);
  entry(0x10_1000 + 0x52 * 4, 0);
  Object.assign(b.fake, { eflags: 0x2_3202, cr0: 0x8000_0011, cr3: 0x10_0000 });
  const read = (es: number, al: number) =>
    b.call("int13", { eax: 0x0200 | al, ecx: 0x0001, edx: 0x80, es }).ah;
  assert.equal(read(0x4000, 16), 0);
  assert.deepEqual([b.peek(0x20_0000, 1)[0], b.peek(0x20_1000, 1)[0]], [fill(0), fill(8)]);
  assert.equal(read(0x5000, 24), 0);
  assert.deepEqual([b.peek(0x30_0fff, 1)[0], b.peek(0x38_0000, 1)[0]], [fill(7), fill(8)]);
  assert.equal(b.peek(0x40000, 1)[0], 0, "not to the linear address");
  // The data area is the virtual machine's, too.
  entry(0x10_1000, 0x28_0007);
  b.memory.writeU16(0x28_0417, 0x00a5);
  assert.equal(b.call("int16", { eax: 0x0200 }).al, 0xa5);
});

Deno.test("paging: 4 MiB pages, PAE, and what is not mapped (SDM 3, 4.3 and 4.4)", () => {
  const b = new BiosBench();
  const { memory } = b;
  memory.writeU32(0x1000, 0x0040_0083);
  assert.equal(translate(memory, { cr3: 0x1000, cr4: 0x10 }, 0x12345), 0x0041_2345);
  assert.equal(translate(memory, { cr3: 0x1000, cr4: 0x10 }, 0x40_0000), -1);
  memory.writeU32(0x2000, 0x3001);
  memory.writeU32(0x3000, 0x4003);
  memory.writeU32(0x3008, 0x0060_0083);
  memory.writeU32(0x4008, 0x0070_0003);
  const pae = { cr3: 0x2000, cr4: 0x20 };
  assert.equal(translate(memory, pae, 0x1abc), 0x0070_0abc);
  assert.equal(translate(memory, pae, 0x20_1234), 0x0060_1234);
  assert.equal(translate(memory, pae, 0x2000), -1);
  assert.equal(translate(memory, pae, 0x4000_0000), -1);
});

Deno.test("drive numbers have no gaps", () => {
  const [{ port }] = bench().drives;
  const drive = (kind: "disk" | "cdrom", number: number) => ({
    kind,
    number,
    port,
    sectorBytes: 512,
  });
  const numbered = numberDrives([drive("cdrom", 0xe2), drive("disk", 0x83), drive("disk", 0x81)]);
  assert.deepEqual(numbered.map(({ number }) => number), [0x80, 0x81, 0xe0]);
});
