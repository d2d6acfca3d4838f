import assert from "node:assert/strict";
import { ataGeometry, diskGeometry, type Geometry } from "../../../hv/core/media/disk_geometry.ts";

const MIB = 1 << 20;
const chs = ({ cylinders, heads, sectors }: Geometry) => [cylinders, heads, sectors];

/** A boot sector with one partition: type, first and last as [cylinder, head, sector], LBA, length. */
function bootSector(
  type: number,
  first: [number, number, number],
  last: [number, number, number],
  lba: number,
  length: number,
): Uint8Array {
  const sector = new Uint8Array(512);
  const packed = ([c, h, s]: number[]) => [h, s | ((c >> 2) & 0xc0), c & 0xff];
  sector.set([0x80, ...packed(first), type, ...packed(last)], 0x1be);
  const view = new DataView(sector.buffer);
  view.setUint32(0x1be + 8, lba, true);
  view.setUint32(0x1be + 12, length, true);
  sector.set([0x55, 0xaa], 510);
  return sector;
}
const EMPTY = new Uint8Array(512);

Deno.test("ATA geometry has 16 heads, 63 sectors and at most 16383 cylinders (ATA-6, annex B)", () => {
  assert.deepEqual(chs(ataGeometry(100 * MIB)), [203, 16, 63]);
  assert.deepEqual(chs(ataGeometry(2 ** 40)), [16383, 16, 63]);
  assert.deepEqual(chs(ataGeometry(512)), [1, 16, 63]);
});

Deno.test("geometry of an unpartitioned disk is the LBA-assist translation", () => {
  assert.deepEqual(chs(diskGeometry(100 * MIB, EMPTY)), [203, 16, 63]);
  assert.deepEqual(chs(diskGeometry(504 * MIB, EMPTY)), [1024, 16, 63]);
  assert.deepEqual(chs(diskGeometry(505 * MIB, EMPTY)), [513, 32, 63]);
  assert.deepEqual(chs(diskGeometry(2000 * MIB, EMPTY)), [1015, 64, 63]);
  assert.deepEqual(chs(diskGeometry(4000 * MIB, EMPTY)), [1015, 128, 63]);
  assert.deepEqual(chs(diskGeometry(7000 * MIB, EMPTY)), [892, 255, 63]);
  assert.deepEqual(chs(diskGeometry(2 ** 40, EMPTY)), [1024, 255, 63]);
  assert.deepEqual(chs(diskGeometry(8 * 2 ** 30)), [1024, 255, 63]);
  assert.equal(diskGeometry(MIB).cylinders, 2);
});

Deno.test("geometry follows a partition table that agrees with itself", () => {
  // 20 MiB as DOS 3 partitioned it: 4 heads, 17 sectors, 615 cylinders.
  const dos = bootSector(0x04, [0, 1, 1], [614, 3, 17], 17, 615 * 68 - 17);
  assert.deepEqual(chs(diskGeometry(615 * 68 * 512, dos)), [615, 4, 17]);
  // From 1 MiB on, to the end of a large disk, where cylinders are clamped.
  const modern = bootSector(0x83, [0, 32, 33], [1023, 254, 63], 2048, 2 ** 25 - 2048);
  assert.deepEqual(chs(diskGeometry(2 ** 34, modern)), [1024, 255, 63]);
});

Deno.test("geometry does not follow a table that is damaged, protective or of another kind", () => {
  const standard = [1015, 64, 63];
  const size = 2000 * MIB;
  const sectors = [
    // A GPT's; a start that does not fit; an end within a cylinder; an absurd boot flag.
    bootSector(0xee, [0, 0, 2], [1023, 255, 63], 1, 2 ** 22),
    bootSector(0x06, [0, 1, 1], [614, 3, 17], 63, 615 * 68 - 17),
    bootSector(0x83, [0, 1, 1], [10, 20, 30], 30, 5000),
    bootSector(0x06, [0, 1, 1], [614, 3, 17], 17, 615 * 68 - 17).fill(0x33, 0x1be, 0x1bf),
    bootSector(0x06, [0, 1, 1], [614, 3, 17], 17, 615 * 68 - 17).fill(0, 510),
    // 256 heads, for which the firmware's tables have no room.
    bootSector(0x06, [0, 1, 1], [9, 255, 63], 63, 10 * 256 * 63 - 63),
  ];
  for (const [i, sector] of sectors.entries()) {
    assert.deepEqual(chs(diskGeometry(size, sector)), standard, `case ${i}`);
  }
});
