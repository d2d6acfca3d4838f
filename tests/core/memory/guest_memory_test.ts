import assert from "node:assert/strict";
import { copyBuffer } from "../../../hv/core/memory/copy_buffer.ts";
import { GuestMemory, HIGH_RAM_BASE, LOW_RAM_LIMIT } from "../../../hv/core/memory/guest_memory.ts";

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

const buffers = {
  "a copy buffer": copyBuffer,
  "any other": (bytes: number) => new Uint8Array(bytes),
};
for (const [what, allocate] of Object.entries(buffers)) {
  Deno.test(`bytes of ${what} go to RAM and back, wherever they lie, and nowhere else`, () => {
    const large = GuestMemory.allocate(LOW_RAM_LIMIT + 2 * GIB, MIB);
    for (
      const [memory, base] of [[GuestMemory.allocate(MIB, MIB), 0x101], [
        large,
        HIGH_RAM_BASE,
      ]] as const
    ) {
      const bytes = allocate(70_000).fill(0xee);
      const view = bytes.subarray(3);
      for (const [i, length] of [0, 1, 64, 65, 4096, 66_000].entries()) {
        const pattern = Uint8Array.from({ length }, (_, at) => at * 7 + i);
        const at = i + 1;
        view.set(pattern, at);
        memory.copyIn(base, length, view, at);
        assert.deepEqual(memory.view(base, length)!.slice(), pattern);
        view.fill(0);
        memory.copyOut(base, length, view, at);
        assert.deepEqual(view.slice(at, at + length), pattern);
        assert.deepEqual([view[at - 1], view[at + length]], [0, 0], "and not a byte more");
      }
      view.fill(0xcc);
      memory.copyOut(memory.lowBytes - 100, 101, view, 0);
      assert.equal(view[0], 0xcc, "not all of it is RAM");
      memory.copyIn(memory.lowBytes - 100, 101, view, 0);
      assert.equal(memory.readU8(memory.lowBytes - 100), 0);
    }
  });
}

Deno.test("an accelerator is told of what a copy buffer is copied to", () => {
  const memory = GuestMemory.allocate(MIB, MIB);
  const told: number[][] = [];
  memory.onTouch = (...where) => told.push(where);
  memory.copyIn(0x2000, 5000, copyBuffer(5000), 0);
  assert.deepEqual(told, [[0x2000, 5000]]);
});
