/** What the board tells firmware of the drives that it is configured with. */

import assert from "node:assert/strict";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";

const KIB = 1024;

/** CMOS bytes as a firmware image reads them. */
const cmos = ({ pc: { ports } }: TestBoard, ...addresses: number[]) =>
  addresses.map((address) => {
    ports.write(0x70, 1, address);
    return ports.read(0x71, 1);
  });

const floppies = (...sizes: (number | undefined)[]) =>
  new TestBoard({
    ...FULL_BOARD,
    drives: sizes.map((sizeBytes, unit) => ({ kind: "floppy", unit, sizeBytes, readOnly: false })),
  });

Deno.test("CMOS byte 10h has the floppy drives that take the diskettes (IBM AT)", () => {
  assert.deepEqual(cmos(floppies(360 * KIB, 1200 * KIB), 0x10), [0x12]);
  assert.deepEqual(cmos(floppies(720 * KIB, 1440 * KIB), 0x10), [0x44]);
  assert.deepEqual(cmos(floppies(2880 * KIB, undefined), 0x10), [0x54]);
  assert.deepEqual(cmos(floppies(), 0x10), [0x00]);
});

Deno.test("the built-in firmware has the geometry of a disk's partition table, CMOS the drive's", () => {
  const geometry = { cylinders: 615, heads: 4, sectors: 17 };
  const sizeBytes = 615 * 4 * 17 * 512;
  const board = new TestBoard({
    ...FULL_BOARD,
    drives: [{ kind: "disk", unit: 0, sizeBytes, readOnly: false, geometry }],
  });
  // Type 47 with 41 cylinders, 16 heads, 63 sectors: what IDENTIFY DEVICE tells.
  assert.deepEqual(cmos(board, 0x19, 0x1b, 0x1c, 0x1d, 0x23), [47, 41, 0, 16, 63]);
  const { memory, pc } = board;
  pc.firmware.prepareWithoutPost();
  // INT 41h points to the fixed disk parameter table.
  const table = memory.readU16(0x41 * 4) + memory.readU16(0x41 * 4 + 2) * 16;
  assert.deepEqual(
    [memory.readU16(table), memory.readU8(table + 2), memory.readU8(table + 14)],
    [615, 4, 17],
  );
});
