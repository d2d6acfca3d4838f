/** What kernels ask fw_cfg for, whatever the firmware is (QEMU, docs/specs/fw_cfg.rst). */

import assert from "node:assert/strict";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";

const SELECTOR = 0x510;
const DATA = 0x511;

/** `bytes` bytes of item `key`, little-endian. */
function item({ pc: { ports } }: TestBoard, key: number, bytes: number): number {
  ports.write(SELECTOR, 2, key);
  let value = 0;
  for (let i = 0; i < bytes; i++) value += ports.read(DATA, 1) * 2 ** (8 * i);
  return value;
}

Deno.test("fw_cfg has the processors and the memory with the built-in firmware, too", () => {
  const board = new TestBoard({ ...FULL_BOARD, cpus: 2, ramBytes: 4 << 20, firmware: "builtin" });
  assert.deepEqual([item(board, 5, 2), item(board, 0x0f, 2), item(board, 3, 8)], [2, 2, 4 << 20]);
});
