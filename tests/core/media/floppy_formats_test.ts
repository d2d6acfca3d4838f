import assert from "node:assert/strict";
import {
  driveTracks,
  exactFloppyFormat,
  FLOPPY_SIZES,
  floppyBytes,
  FloppyDriveType,
  floppyDriveType,
  floppyFormat,
} from "../../../hv/core/media/floppy_formats.ts";

const KIB = 1024;

Deno.test("diskettes: layout, drive and rate by image size", () => {
  const layout = (sizeKib: number) => {
    const { cylinders, heads, sectors, rates } = floppyFormat(sizeKib * KIB);
    return [cylinders, heads, sectors, rates[0], floppyDriveType(sizeKib * KIB)];
  };
  assert.deepEqual(layout(160), [40, 1, 8, 2, 1]);
  assert.deepEqual(layout(180), [40, 1, 9, 2, 1]);
  assert.deepEqual(layout(320), [40, 2, 8, 2, 1]);
  assert.deepEqual(layout(360), [40, 2, 9, 2, 1]);
  assert.deepEqual(layout(640), [80, 2, 8, 2, 4]);
  assert.deepEqual(layout(720), [80, 2, 9, 2, 4]);
  assert.deepEqual(layout(800), [80, 2, 10, 2, 4]);
  assert.deepEqual(layout(1200), [80, 2, 15, 0, 2]);
  assert.deepEqual(layout(1440), [80, 2, 18, 0, 4]);
  assert.deepEqual(layout(1600), [80, 2, 20, 0, 4]);
  assert.deepEqual(layout(1680), [80, 2, 21, 0, 4]);
  assert.deepEqual(layout(1722), [82, 2, 21, 0, 4]);
  assert.deepEqual(layout(2880), [80, 2, 36, 3, 5]);
});

Deno.test("an image of no diskette's size is the beginning of one of 1.44 or 2.88 MiB", () => {
  assert.equal(exactFloppyFormat(1440 * KIB + 512), undefined);
  assert.equal(exactFloppyFormat(0), undefined);
  assert.equal(floppyBytes(floppyFormat(512)), 1_474_560);
  assert.equal(floppyFormat(1_500_000).sectors, 36);
});

Deno.test("a drive without medium is a 1.44 MiB drive; every drive reaches its diskettes' tracks", () => {
  assert.equal(floppyDriveType(), FloppyDriveType.m1_44);
  for (const size of FLOPPY_SIZES.split(", ")) {
    const { cylinders, drive } = exactFloppyFormat(parseInt(size) * KIB)!;
    assert.ok(cylinders <= driveTracks(drive), size);
  }
});
