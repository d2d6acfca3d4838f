/** "El Torito" Bootable CD-ROM Format Specification 1.0. */

import assert from "node:assert/strict";
import { bootEntry, catalogueBlock, emulatedDiskGeometry } from "../../bios/media/el_torito.ts";
import { BiosBench } from "./bios_bench.ts";
import { seeded } from "../support/random.ts";

const BLOCK = 2048;
const CATALOGUE = 20;
const IMAGE = 30;

/** The validation entry (§2.1), its checksum right. */
function validation(platform = 0): Uint8Array {
  const entry = new Uint8Array(32);
  entry.set([1, platform]);
  entry.set([0x55, 0xaa], 30);
  const data = new DataView(entry.buffer);
  let sum = 0;
  for (let i = 0; i < 32; i += 2) sum += data.getUint16(i, true);
  data.setUint16(28, -sum & 0xffff, true);
  return entry;
}

/** An initial or section entry (§2.2). */
function entry(
  { bootable = 0x88, media = 0, segment = 0, sectors = 4, block = IMAGE } = {},
): Uint8Array {
  const bytes = new Uint8Array(32);
  const data = new DataView(bytes.buffer);
  bytes.set([bootable, media]);
  data.setUint16(2, segment, true);
  data.setUint16(6, sectors, true);
  data.setUint32(8, block, true);
  return bytes;
}

function catalogue(...entries: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  for (const [index, part] of entries.entries()) bytes.set(part, index * 32);
  return bytes;
}

function descriptor(block: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  bytes.set(new TextEncoder().encode("\0CD001\x01EL TORITO SPECIFICATION"));
  new DataView(bytes.buffer).setUint32(0x47, block, true);
  return bytes;
}

/** A CD-ROM with a boot image; sector n of the image (512 bytes) begins with n. */
function cdrom(initial: Uint8Array, imageBytes = 1440 * 1024): Uint8Array {
  const cd = new Uint8Array(IMAGE * BLOCK + imageBytes);
  cd.set(descriptor(CATALOGUE), 17 * BLOCK);
  cd.set(catalogue(validation(), initial), CATALOGUE * BLOCK);
  for (let at = 0; at < imageBytes; at += 512) cd[IMAGE * BLOCK + at] = at / 512;
  return cd;
}

/** Boots and tells where and with which drive. */
function boot(cd: Uint8Array, options = {}) {
  const b = new BiosBench({ cdrom: cd, bootOrder: ["cdrom"], ...options }).post();
  const result = b.call("int19");
  const stack = b.fake.ss.selector * 16 + (b.fake.esp & 0xffff);
  const [offset, segment] = [b.memory.readU16(stack), b.memory.readU16(stack + 2)];
  return { b, next: result.next, drive: b.fake.edx & 0xff, address: segment * 16 + offset };
}

Deno.test("the boot record leads to the catalogue (§2.0, figure 7)", () => {
  assert.equal(catalogueBlock(descriptor(77)), 77);
  assert.match(String(catalogueBlock(new Uint8Array(BLOCK))), /no boot record/);
  const other = descriptor(1);
  other[7] = 0x58;
  assert.match(String(catalogueBlock(other)), /not El Torito/);
});

Deno.test("the validation entry needs its key and checksum (§2.1)", () => {
  assert.deepEqual(bootEntry(catalogue(validation(), entry())), {
    media: 0,
    segment: 0x7c0,
    sectors: 4,
    block: IMAGE,
  });
  const bad = catalogue(validation(), entry());
  bad[5] ^= 1;
  assert.match(String(bootEntry(bad)), /checksum/);
  assert.match(String(bootEntry(new Uint8Array(BLOCK))), /no validation entry/);
});

Deno.test("a section for PCs is found behind entries for others (§2.3, 2.4)", () => {
  const header = (platform: number, count: number, last = false) => {
    const bytes = new Uint8Array(32);
    bytes.set([last ? 0x91 : 0x90, platform, count]);
    return bytes;
  };
  const found = bootEntry(catalogue(
    validation(0xef),
    entry({ block: 1 }),
    header(0xef, 1),
    entry({ block: 2 }),
    header(0, 2, true),
    entry({ bootable: 0, block: 3 }),
    entry({ block: 4 }),
  ));
  assert.equal(typeof found === "string" ? found : found.block, 4);
  assert.match(String(bootEntry(catalogue(validation(0xef), entry()))), /no entry for PCs/);
});

Deno.test("an image without emulation is loaded to 7C00h, DL the CD-ROM's number (§3.4)", () => {
  const { b, next, drive, address } = boot(cdrom(entry({ sectors: 6 })));
  assert.deepEqual([next, drive, address], [undefined, 0xe0, 0x7c00]);
  assert.deepEqual([0, 512, 5 * 512].map((at) => b.peek(0x7c00 + at, 1)[0]), [0, 1, 5]);
  const status = b.call("int13", { eax: 0x4b01, edx: 0xe0, esi: 0x100 });
  assert.deepEqual([status.ah, status.carry], [0, false]);
  const packet = b.peek(0x20100, 0x13);
  assert.deepEqual(packet.slice(0, 8), [0x13, 0, 0xe0, 0, IMAGE, 0, 0, 0]);
  assert.deepEqual(packet.slice(12, 16), [0xc0, 0x07, 6, 0]);
});

Deno.test("a diskette image becomes drive 0 and pushes the diskette drive to 1 (§3.2)", () => {
  const floppy = new Uint8Array(1440 * 1024).fill(0xf1);
  const { b, drive, address } = boot(cdrom(entry({ media: 2, sectors: 1 })), { floppy });
  assert.deepEqual([drive, address], [0x00, 0x7c00]);
  const read = (edx: number) => b.call("int13", { eax: 0x0201, ecx: 0x0103, edx });
  assert.equal(read(0).ah, 0);
  assert.equal(b.peek(0x20000, 1)[0], 36 + 2, "cylinder 1, head 0, sector 3");
  assert.equal(read(1).ah, 0);
  assert.equal(b.peek(0x20000, 1)[0], 0xf1);
  assert.equal(b.call("int13", { eax: 0x0301, ecx: 0x0001 }).ah, 3, "write-protected");
  assert.equal(b.call("int13", { eax: 0x0800 }).dx & 0xff, 2, "two diskette drives");
  assert.equal(b.memory.readU16(0x410) & 0xc1, 0x41, "in the equipment word as well");
  assert.equal(b.call("int13", { eax: 0x4b00, edx: 0 }).ah, 0, "ends the emulation");
  assert.equal(read(0).ah, 0);
  assert.equal(b.peek(0x20000, 1)[0], 0xf1);
});

Deno.test("a hard-disk image takes its geometry from the MBR and becomes 80h (§3.3)", () => {
  const cd = cdrom(entry({ media: 4, sectors: 1 }), 64 * 512 * 4);
  // End of the first partition: head 3, sector 16, cylinder 3.
  cd.set([0x80, 1, 1, 0, 6, 3, 16, 3], IMAGE * BLOCK + 0x1be);
  const { b, drive } = boot(cd, { disk: new Uint8Array(8 << 20).fill(0xd1) });
  assert.equal(drive, 0x80);
  const parameters = b.call("int13", { eax: 0x0800, edx: 0x80 });
  assert.deepEqual([parameters.cx, parameters.dx], [0x0310, 0x0302]);
  b.call("int13", { eax: 0x0201, ecx: 0x0001, edx: 0x0180 });
  assert.equal(b.peek(0x20000, 1)[0], 16);
  b.call("int13", { eax: 0x0201, ecx: 0x0001, edx: 0x0081 });
  assert.equal(b.peek(0x20000, 1)[0], 0xd1, "the real disk is 81h");
  assert.equal(emulatedDiskGeometry(new Uint8Array(512)), undefined);
});

Deno.test("hostile boot images are refused with a reason, and the monitor begins", () => {
  const reason = (initial: Uint8Array) => {
    const { b, next } = boot(cdrom(initial));
    assert.equal(next, "startMonitor");
    return b.log.at(-1);
  };
  assert.match(reason(entry({ segment: 0x9000, sectors: 0xffff }))!, /does not fit/);
  assert.match(reason(entry({ segment: 0x0001 }))!, /does not fit/);
  assert.match(reason(entry({ block: 0xffff_ffff }))!, /cannot be read/);
  assert.match(reason(entry({ bootable: 0 }))!, /no entry for PCs/);
  assert.match(reason(entry({ media: 4 }))!, /geometry/);
});

Deno.test("a boot catalogue of random bytes never throws", () => {
  seeded((random) => {
    for (let round = 0; round < 300; round++) {
      const bytes = catalogue(validation());
      for (let i = 32; i < BLOCK; i++) bytes[i] = random.u32();
      for (let at = 32; at < BLOCK; at += 32) {
        if (random.chance(70)) bytes[at] = random.pick([0x88, 0x90, 0x91, 0x44]);
      }
      const found = bootEntry(bytes);
      if (typeof found !== "string") assert.ok(found.media <= 4);
    }
  });
});
