import assert from "node:assert/strict";
import { romCode } from "../../bios/rom/rom.ts";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";

const FIRMWARE_PORT = 0xa8;

Deno.test("a serial port that the guest places at the firmware's own port does not call it again", () => {
  const { pc, memory, registers } = new TestBoard(FULL_BOARD);
  const [offset] = [...romCode().services].find(([, name]) => name === "int14")!;
  memory.writeU16(0x400, FIRMWARE_PORT); // base of COM1 in the BIOS data area
  registers.cs.selector = 0xf000;
  registers.ip = offset;
  registers.eax = 0x00e3; // initialise
  registers.edx = 0;
  pc.ports.write(FIRMWARE_PORT, 1, 0);
  assert.equal(registers.eax & 0xffff0000, 0);
});
