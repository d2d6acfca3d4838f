import assert from "node:assert/strict";
import { MAP_AFTER, Vga } from "../../../devices/vga/vga.ts";
import { vgaMode } from "../../../devices/vga/modes.ts";
import { VGA_MEMORY_BYTES, VGA_WINDOW_BYTES } from "../../../devices/vga/memory.ts";
import { VgaState } from "../../../devices/vga/registers.ts";
import { deviceContract } from "../../support/contract.ts";
import { VgaBench } from "../../support/vga_bench.ts";

/** Index and data words of each mode, so that the random walk visits real modes. */
const MODE_WORDS = [0x03, 0x06, 0x12, 0x13].flatMap((number) => {
  const mode = vgaMode(number)!;
  const words = (offset: number, values: readonly number[]) =>
    values.map((value, index) => ({ port: 0, offset, size: 2, values: [index | (value << 8)] }));
  return [
    ...words(0x14, mode.sequencer),
    ...words(0x1e, mode.graphics),
    { port: 0, offset: 0x12, size: 1, values: [mode.miscOutput] },
  ];
});

deviceContract("VGA", (bench) => {
  const device = new Vga({
    state: bench.state(VgaState),
    memory: bench.memory.allocateDeviceMemory(VGA_MEMORY_BYTES).bytes,
    clock: bench.clock,
    mapWindow: () => {},
  });
  return {
    device,
    ports: [
      { handler: device, length: 0x30, sizes: [1, 2] },
      { handler: device.window, length: VGA_WINDOW_BYTES, sizes: [1, 2, 4] },
    ],
    likely: [
      ...MODE_WORDS,
      { port: 1, offset: 0x18000, size: 2, values: [0x0741, 0x1f42] },
      { port: 1, offset: 0x00003, size: 1, values: [0x01, 0xff] },
    ],
  };
});

Deno.test("VGA miscellaneous output bit 0 moves the CRTC between 3Bxh and 3Dxh", () => {
  const vga = new VgaBench();
  vga.out(0x3c2, 0x63);
  vga.set(0x3d4, 0x0e, 0x12);
  assert.equal(vga.get(0x3d4, 0x0e), 0x12);
  assert.equal(vga.in(0x3b5), 0xff);
  vga.out(0x3c2, 0x62);
  assert.equal(vga.get(0x3b4, 0x0e), 0x12);
  assert.equal(vga.in(0x3d5), 0xff);
  assert.equal(vga.in(0x3cc), 0x62);
});

Deno.test("VGA CRTC protect bit makes registers 0-7 read-only except line compare bit 8", () => {
  const vga = new VgaBench();
  vga.out(0x3c2, 0x63);
  vga.set(0x3d4, 0x00, 0x5f);
  vga.set(0x3d4, 0x07, 0x1f);
  vga.set(0x3d4, 0x11, 0x8e);
  vga.set(0x3d4, 0x00, 0x00);
  vga.set(0x3d4, 0x07, 0x00);
  vga.set(0x3d4, 0x09, 0x4f);
  assert.equal(vga.get(0x3d4, 0x00), 0x5f);
  assert.equal(vga.get(0x3d4, 0x07), 0x0f);
  assert.equal(vga.get(0x3d4, 0x09), 0x4f);
});

Deno.test("VGA attribute controller takes index and data in turn; status 1 resets the turn", () => {
  const vga = new VgaBench();
  vga.out(0x3c2, 0x63);
  vga.in(0x3da);
  vga.out(0x3c0, 0x10);
  vga.out(0x3c0, 0x0c);
  vga.out(0x3c0, 0x11);
  vga.in(0x3da);
  vga.out(0x3c0, 0x10);
  assert.equal(vga.in(0x3c1), 0x0c);
  assert.equal(vga.in(0x3c0), 0x10);
  vga.out(0x3c0, 0x08);
  assert.equal(vga.in(0x3c1), 0x08);
});

Deno.test("VGA palette steps by red, green, blue and stores a colour with its blue", () => {
  const vga = new VgaBench();
  vga.out(0x3c8, 0xff);
  for (const component of [0x3f, 0x80 | 0x15, 0x01, 0x02, 0x03]) vga.out(0x3c9, component);
  assert.equal(vga.in(0x3c7), 0);
  vga.out(0x3c7, 0xff);
  assert.equal(vga.in(0x3c7), 3);
  assert.deepEqual(Array.from({ length: 6 }, () => vga.in(0x3c9)), [0x3f, 0x15, 0x01, 0, 0, 0]);
});

Deno.test("VGA 3C3h bit 0 clear silences every other port and the memory", () => {
  const vga = new VgaBench().mode(3);
  vga.write(0xb8000, 1, 0x41);
  vga.out(0x3c3, 0);
  assert.equal(vga.in(0x3cc), 0xff);
  assert.equal(vga.read(0xb8000), 0xff);
  vga.out(0x3c3, 1);
  assert.equal(vga.in(0x3cc), 0x67);
  assert.equal(vga.read(0xb8000), 0x41);
});

Deno.test("VGA input status 1 follows the raster of mode 3: 449 lines of 31.8 us, 70 Hz", () => {
  const vga = new VgaBench().mode(3);
  const { clock } = vga.bench;
  const lineNs = 100 * 9 * 1e9 / 28_322_000;
  const at = (line: number, part: number) => {
    clock.ns = (449 * 7 + line + part) * lineNs;
    return vga.in(0x3da);
  };
  assert.equal(at(0, 0.1), 0x00, "in the picture");
  assert.equal(at(0, 0.9), 0x01, "horizontal blank: 80 of 100 characters are shown");
  assert.equal(at(399, 0.1), 0x00, "last line");
  assert.equal(at(400, 0.1), 0x01, "below the picture");
  assert.equal(at(411, 0.1), 0x01);
  assert.equal(at(412, 0.1), 0x09, "retrace starts at line 19Ch");
  assert.equal(at(413, 0.9), 0x09);
  assert.equal(at(414, 0.1), 0x01, "and ends where the low digit is Eh");
});

Deno.test("VGA modes set the registers and palettes of the BIOS", () => {
  for (const number of [0, 1, 2, 3, 4, 5, 6, 7, 0xd, 0xe, 0xf, 0x10, 0x11, 0x12, 0x13]) {
    const mode = vgaMode(number)!;
    const vga = new VgaBench().mode(number);
    const { state } = vga.vga;
    assert.equal(state.miscOutput, mode.miscOutput);
    assert.deepEqual([...state.sequencer.subarray(0, 5)], mode.sequencer);
    assert.deepEqual([...state.crtc.subarray(0, 0x19)], mode.crtc);
    assert.deepEqual([...state.attribute.subarray(0, 0x14)], mode.attribute);
    assert.deepEqual([...state.graphics.subarray(0, 9)], mode.graphics);
    assert.equal(vga.in(0x3c0), 0x20, "the screen is on");
  }
  assert.equal(vgaMode(8), undefined);
});

Deno.test("VGA text window is mapped as RAM after some accesses and taken back by a register", () => {
  const vga = new VgaBench().mode(3);
  vga.unmap();
  for (let i = 1; i < MAP_AFTER; i++) vga.write(0xb8000, 1, 0x41);
  assert.equal(vga.mapped, undefined);
  vga.write(0xb8002, 1, 0x42);
  assert.deepEqual(vga.mapped, { address: 0xb8000, length: 0x8000, memoryOffset: 0 });
  assert.deepEqual(vga.vga.linearWindow(), vga.mapped);
  vga.write(0xb8004, 2, 0x1743);

  vga.set(0x3d4, 0x0f, 0x05);
  vga.set(0x3c4, 2, 0x03);
  assert.equal(vga.changes, 1, "the cursor and an unchanged map mask leave it alone");
  vga.set(0x3c4, 2, 0x04);
  assert.equal(vga.mapped, undefined);
  assert.equal(vga.vga.linearWindow(), undefined);
  assert.deepEqual([0, 2, 4].map((address) => vga.plane(0, address)), [0x41, 0x42, 0x43]);
  assert.equal(vga.plane(1, 4), 0x17);
});

Deno.test("VGA chained window is mapped and keeps what was in memory", () => {
  const vga = new VgaBench().mode(3);
  vga.print(0, 0, "hv");
  const font = vga.plane(2, 0x41 * 32 + 4);
  assert.notEqual(font, 0);
  // Mode 13h by its registers alone, so that nothing is cleared.
  const mode = vgaMode(0x13)!;
  for (const [index, value] of mode.sequencer.entries()) vga.set(0x3c4, index, value);
  for (const [index, value] of mode.graphics.entries()) vga.set(0x3ce, index, value);
  for (let i = 0; i < MAP_AFTER; i++) vga.read(0xaffff);
  assert.deepEqual(vga.mapped, { address: 0xa0000, length: 0x10000, memoryOffset: 0 });
  assert.equal(vga.plane(2, 0x41 * 32 + 4), font);
  assert.equal(vga.read(0xa0000), "h".charCodeAt(0));
  assert.equal(vga.plane(0, 2), "v".charCodeAt(0));
  vga.write(0xa0001, 1, 0x99);
  vga.out(0x3c2, 0x61);
  assert.equal(vga.mapped, undefined, "memory off");
  assert.equal(vga.plane(1, 0), 0x99);
});

Deno.test("VGA reset takes a mapped window back", () => {
  const vga = new VgaBench().mode(0x13);
  for (let i = 0; i < MAP_AFTER; i++) vga.read(0xa0000);
  assert.notEqual(vga.mapped, undefined);
  vga.vga.reset();
  assert.equal(vga.mapped, undefined);
});

Deno.test("VGA maps at most once in MAP_AFTER accesses, however the guest switches", () => {
  const vga = new VgaBench().mode(0x13);
  vga.unmap();
  for (let i = 0; i < 2000; i++) {
    vga.set(0x3c4, 2, i & 1 ? 0x0f : 0x01);
    vga.write(0xa0000, 1, i);
  }
  assert.equal(vga.changes, 0);
});
