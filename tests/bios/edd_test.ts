/** Phoenix, BIOS Enhanced Disk Drive Specification 3.0. */

import assert from "node:assert/strict";
import { BiosBench } from "./bios_bench.ts";

const DISK_BYTES = 32 << 20;
const PACKET = 0x2_0000;

function bench(): BiosBench {
  const disk = new Uint8Array(DISK_BYTES);
  const cdrom = new Uint8Array(64 * 2048);
  for (let at = 0; at < disk.length; at += 512) disk[at] = at / 512;
  for (let at = 0; at < cdrom.length; at += 2048) cdrom[at] = 0x80 | at / 2048;
  return new BiosBench({ floppy: new Uint8Array(1440 * 1024), disk, cdrom }).post();
}

/** A disk address packet at DS:SI (§4.2.2). */
function packet(
  b: BiosBench,
  fields: { count: number; segment: number; block: number; size?: number },
) {
  const data = new DataView(new ArrayBuffer(24));
  data.setUint8(0, fields.size ?? 16);
  data.setUint16(2, fields.count, true);
  data.setUint16(6, fields.segment, true);
  data.setBigUint64(8, BigInt(fields.block), true);
  b.poke(PACKET, new Uint8Array(data.buffer));
}

Deno.test("INT 13h AH=41h: version 3.0, packets and EDD; not for diskettes (EDD 4.2.1)", () => {
  const b = bench();
  const disk = b.call("int13", { eax: 0x4100, ebx: 0x55aa, edx: 0x80 });
  assert.deepEqual([disk.ah, disk.bx, disk.cx, disk.carry], [0x30, 0xaa55, 5, false]);
  assert.equal(b.call("int13", { eax: 0x4100, ebx: 0x55aa, edx: 0 }).carry, true);
  assert.equal(b.call("int13", { eax: 0x4100, ebx: 0x1234, edx: 0x80 }).carry, true);
});

Deno.test("INT 13h AH=42h reads by block, 2048 bytes a block from a CD-ROM (EDD 4.2.2)", () => {
  const b = bench();
  packet(b, { count: 3, segment: 0x4000, block: 1000 });
  assert.equal(b.call("int13", { eax: 0x4200, edx: 0x80 }).ah, 0);
  assert.deepEqual([0, 512, 1024].map((at) => b.peek(0x40000 + at, 1)[0]), [
    1000 & 0xff,
    1001 & 0xff,
    1002 & 0xff,
  ]);
  packet(b, { count: 2, segment: 0x4000, block: 17 });
  assert.equal(b.call("int13", { eax: 0x4200, edx: 0xe0 }).ah, 0);
  assert.deepEqual([0, 2048].map((at) => b.peek(0x40000 + at, 1)[0]), [0x91, 0x92]);
});

Deno.test("INT 13h AH=42h with FFFF:FFFF uses the 64-bit address behind the packet (EDD 4.2.2)", () => {
  const b = bench();
  packet(b, { count: 1, segment: 0xffff, block: 7, size: 24 });
  b.poke(PACKET + 4, [0xff, 0xff]);
  b.poke(PACKET + 16, [0, 0, 0x50, 0, 0, 0, 0, 0]); // 500000h
  assert.equal(b.call("int13", { eax: 0x4200, edx: 0x80 }).ah, 0);
  assert.equal(b.peek(0x50_0000, 1)[0], 7);
});

Deno.test("INT 13h AH=42h beyond the end: status 04h and no blocks (EDD 4.2.2)", () => {
  const b = bench();
  packet(b, { count: 2, segment: 0x4000, block: DISK_BYTES / 512 - 1 });
  const result = b.call("int13", { eax: 0x4200, edx: 0x80 });
  assert.deepEqual([result.ah, result.carry], [4, true]);
  assert.deepEqual(b.peek(PACKET + 2, 2), [0, 0]);
  packet(b, { count: 1, segment: 0x4000, block: 2 ** 40 });
  assert.equal(b.call("int13", { eax: 0x4200, edx: 0x80 }).ah, 4);
  packet(b, { count: 1, segment: 0x4000, block: 0, size: 8 });
  assert.equal(b.call("int13", { eax: 0x4200, edx: 0x80 }).ah, 1, "a packet too short");
});

Deno.test("INT 13h AH=43h writes a disk and finds a CD-ROM write-protected (EDD 4.2.3)", () => {
  const b = bench();
  packet(b, { count: 1, segment: 0x4000, block: 5 });
  b.poke(0x40000, [0xab]);
  assert.equal(b.call("int13", { eax: 0x4300, edx: 0x80 }).ah, 0);
  b.poke(0x40000, [0]);
  b.call("int13", { eax: 0x4200, edx: 0x80 });
  assert.equal(b.peek(0x40000, 1)[0], 0xab);
  assert.equal(b.call("int13", { eax: 0x4300, edx: 0xe0 }).ah, 3);
});

Deno.test("INT 13h AH=48h fills as much as there is room for: 26, 30 or 66 bytes (EDD 4.2.8)", () => {
  const b = bench();
  const parameters = (room: number, edx = 0x80) => {
    b.poke(PACKET, new Uint8Array(80).fill(0xcc));
    b.poke(PACKET, [room & 0xff, room >>> 8]);
    const { ah } = b.call("int13", { eax: 0x4800, edx });
    const bytes = Uint8Array.from(b.peek(PACKET, 80));
    return { ah, bytes, data: new DataView(bytes.buffer) };
  };
  const v1 = parameters(26);
  assert.equal(v1.data.getUint16(0, true), 26);
  assert.equal(v1.data.getBigUint64(16, true), BigInt(DISK_BYTES / 512));
  assert.equal(v1.data.getUint16(24, true), 512);
  assert.equal(v1.bytes[26], 0xcc);
  const v3 = parameters(74);
  assert.equal(v3.data.getUint16(0, true), 66);
  assert.equal(v3.bytes[66], 0xcc);
  const cd = parameters(30, 0xe0);
  assert.equal(cd.data.getUint16(2, true), 0x74, "removable, change line, lockable, no geometry");
  assert.equal(cd.data.getUint16(24, true), 2048);
  assert.equal(parameters(25).ah, 1);
});

Deno.test("INT 13h AH=45h counts locks of a CD-ROM; a disk cannot be locked (EDD 4.2.5)", () => {
  const b = bench();
  const lock = (al: number, edx = 0xe0) => {
    const { ah, al: state } = b.call("int13", { eax: 0x4500 | al, edx });
    return [ah, state];
  };
  assert.deepEqual(lock(2), [0, 0]);
  assert.deepEqual(lock(0), [0, 1]);
  assert.deepEqual(lock(0), [0, 1]);
  assert.deepEqual(lock(1), [0, 1]);
  assert.deepEqual(lock(1), [0, 0]);
  assert.equal(lock(1)[0], 0xb0);
  assert.equal(lock(0, 0x80)[0], 0xb2);
});
