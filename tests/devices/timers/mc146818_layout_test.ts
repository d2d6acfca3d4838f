import assert from "node:assert/strict";
import { cmosLayout } from "../../../devices/timers/mc146818_layout.ts";
import { FloppyDriveType } from "../../../hv/core/media/floppy_formats.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const at = (cmos: Map<number, number>, ...addresses: number[]) => addresses.map((a) => cmos.get(a));

Deno.test("cmos layout: memory below 64 MiB in KiB, below 4 GiB and above it in 64 KiB", () => {
  const small = cmosLayout({ ramBelow4G: 16 * MIB });
  assert.deepEqual(at(small, 0x15, 0x16), [0x80, 0x02]);
  assert.deepEqual(at(small, 0x17, 0x18, 0x30, 0x31), [0x00, 0x3c, 0x00, 0x3c]);
  assert.deepEqual(at(small, 0x34, 0x35, 0x5b, 0x5c, 0x5d), [0, 0, 0, 0, 0]);
  const large = cmosLayout({ ramBelow4G: 3 * GIB, ramAbove4G: 5 * GIB });
  assert.deepEqual(at(large, 0x17, 0x18), [0xff, 0xff]);
  assert.deepEqual(at(large, 0x34, 0x35), [0x00, 0xbf]);
  assert.deepEqual(at(large, 0x5b, 0x5c, 0x5d), [0x00, 0x40, 0x01]);
});

Deno.test("cmos layout: floppy drives and equipment", () => {
  assert.deepEqual(at(cmosLayout({ ramBelow4G: MIB }), 0x10, 0x14), [0x00, 0x06]);
  assert.deepEqual(
    at(cmosLayout({ ramBelow4G: MIB, floppies: [FloppyDriveType.m1_44] }), 0x10, 0x14),
    [0x40, 0x07],
  );
  const { m1_2, m2_88 } = FloppyDriveType;
  const two = cmosLayout({ ramBelow4G: MIB, floppies: [m1_2, m2_88] });
  assert.deepEqual(at(two, 0x10, 0x14), [0x25, 0x47]);
});

Deno.test("cmos layout: hard disks as user-defined type 47 with their geometry", () => {
  const cmos = cmosLayout({
    ramBelow4G: MIB,
    disks: [{ cylinders: 615, heads: 4, sectors: 17 }, {
      cylinders: 16383,
      heads: 16,
      sectors: 63,
    }],
  });
  assert.deepEqual(at(cmos, 0x12, 0x19, 0x1a, 0x39), [0xff, 47, 47, 0x04]);
  assert.deepEqual(
    at(cmos, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23),
    [0x67, 0x02, 4, 0xff, 0xff, 0xc0, 0x67, 0x02, 17],
  );
  assert.deepEqual(at(cmos, 0x24, 0x25, 0x26, 0x29, 0x2c), [0xff, 0x3f, 16, 0xc8, 63]);
  const slave = cmosLayout({
    ramBelow4G: MIB,
    disks: [undefined, { cylinders: 1, heads: 1, sectors: 1 }],
  });
  assert.deepEqual(at(slave, 0x12, 0x19, 0x1a), [0x0f, undefined, 47]);
});

Deno.test("cmos layout: boot order, processors and checksum", () => {
  const cmos = cmosLayout({ ramBelow4G: MIB, bootOrder: ["cdrom", "disk", "network"], cpus: 4 });
  assert.deepEqual(at(cmos, 0x3d, 0x38, 0x5f), [0x23, 0x41, 3]);
  // 80h + 02h of base memory and 06h of equipment.
  assert.deepEqual(at(cmos, 0x2e, 0x2f), [0x00, 0x88]);
});
