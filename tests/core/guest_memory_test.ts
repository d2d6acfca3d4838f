import assert from "node:assert/strict";
import { GuestMemory, HIGH_RAM_BASE, LOW_RAM_LIMIT } from "../../hv/core/guest_memory.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

Deno.test("RAM up to 3 GiB lies at 0, the rest at 4 GiB", () => {
  // Reserved only: the host commits pages as they are touched.
  const memory = GuestMemory.allocate(LOW_RAM_LIMIT + 2 * GIB, MIB);
  assert.deepEqual([memory.lowBytes, memory.highBytes], [3 * GIB, 2 * GIB]);
  assert.equal(memory.offsetOf(3 * GIB - 1, 1), 3 * GIB - 1);
  assert.equal(memory.offsetOf(3 * GIB, 1), -1);
  assert.equal(memory.offsetOf(HIGH_RAM_BASE, 1), 3 * GIB);
  assert.equal(memory.offsetOf(HIGH_RAM_BASE + 2 * GIB - 1, 1), 5 * GIB - 1);
  assert.equal(memory.offsetOf(HIGH_RAM_BASE + 2 * GIB, 1), -1);
  memory.writeU32(HIGH_RAM_BASE + 8, 0xfeed_f00d);
  assert.equal(memory.readU32(HIGH_RAM_BASE + 8), 0xfeed_f00d);
  assert.equal(memory.readU32(8), 0);
});

Deno.test("an address and length of the guest give RAM, all of it, or nothing", () => {
  const memory = GuestMemory.allocate(MIB, MIB);
  assert.equal(memory.view(MIB - 16, 16)!.length, 16);
  for (
    const [address, length] of [
      [MIB - 16, 17],
      [MIB, 1],
      [-1, 1],
      [-1, 2],
      [0, -1],
      [0, 2 ** 53],
      [2 ** 53, 2 ** 53],
      [HIGH_RAM_BASE, 1],
      [HIGH_RAM_BASE - 1, 1],
      [NaN, 1],
      [0, NaN],
      [Infinity, 1],
    ]
  ) {
    assert.equal(memory.view(address, length), undefined, `${address}, ${length}`);
  }
});

Deno.test("words are little-endian; outside of RAM reads give ones and writes are dropped", () => {
  const memory = GuestMemory.allocate(MIB, MIB);
  const rom = memory.allocateDeviceMemory(4096);
  memory.writeU8(0, 0x78);
  memory.writeU16(1, 0x3456);
  memory.writeU32(4, 0x89ab_cdef);
  assert.deepEqual([...memory.view(0, 8)!], [0x78, 0x56, 0x34, 0, 0xef, 0xcd, 0xab, 0x89]);
  assert.equal(memory.readU16(4), 0xcdef);
  memory.writeU32(MIB - 2, 0xffff_ffff);
  memory.writeU16(MIB, 0xffff);
  memory.writeU8(MIB, 0xff);
  assert.deepEqual([memory.readU8(MIB), memory.readU16(MIB - 1)], [0xff, 0xffff]);
  assert.equal(memory.readU32(MIB - 2), 0xffff_ffff);
  assert.equal(memory.readU16(MIB - 2), 0);
  assert.equal(rom.bytes[0], 0);
});

Deno.test("device memory comes after RAM, page by page, until it is used up", () => {
  const memory = GuestMemory.allocate(MIB, 65536);
  assert.equal(memory.allocateDeviceMemory(1).offset, MIB);
  const second = memory.allocateDeviceMemory(8192);
  assert.deepEqual([second.offset, second.bytes.length], [MIB + 4096, 8192]);
  assert.throws(() => memory.allocateDeviceMemory(65536), /65536 bytes of device memory/);
});

Deno.test("memory opened from its handle is the same memory", () => {
  const memory = GuestMemory.allocate(MIB, 65536);
  const other = new GuestMemory(memory.handle);
  memory.writeU32(0x100, 0x1234_5678);
  assert.equal(other.readU32(0x100), 0x1234_5678);
  assert.equal(other.allocateDeviceMemory(1).offset, memory.allocateDeviceMemory(1).offset);
});
