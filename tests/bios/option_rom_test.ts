/** PC/AT Technical Reference, "ROM modules"; PCI Firmware Specification 3.0 §5. */

import assert from "node:assert/strict";
import { romCode } from "../../bios/rom/rom.ts";
import { BiosBench } from "./bios_bench.ts";

/** An option ROM of one 512-byte unit whose bytes add up to zero. */
function optionRom(units = 1): Uint8Array {
  const rom = new Uint8Array(units * 512);
  rom.set([0x55, 0xaa, units, 0xcb]);
  rom[rom.length - 1] = -rom.reduce((sum, byte) => sum + byte, 0);
  return rom;
}

/** Where the guest is sent: the far addresses on its stack, ROM's entry first. */
function calls(b: BiosBench): number[] {
  const found: number[] = [];
  for (;;) {
    if (b.call("optionRom").next !== "farReturn") return found;
    const stack = 0x30000 + (b.fake.esp & 0xffff);
    found.push(b.memory.readU16(stack + 2) * 16 + b.memory.readU16(stack));
    assert.equal(b.memory.readU16(stack + 4), romCode().label("optionRomNext"));
    assert.equal(b.memory.readU16(stack + 6), 0xf000);
  }
}

Deno.test("option ROMs between C8000h and DFFFFh are called at their offset 3, each once", () => {
  const b = new BiosBench().post();
  b.poke(0xc8000, optionRom(5));
  b.poke(0xc9000, optionRom()); // behind the 2560 bytes of the first, on the next 2 KiB
  b.poke(0xd0800, optionRom());
  b.poke(0xe0000, optionRom());
  assert.deepEqual(calls(b), [0xc8003, 0xc9003, 0xd0803]);
});

Deno.test("what has no signature, a wrong sum or a length beyond the area is not called", () => {
  const b = new BiosBench().post();
  const bad = optionRom();
  bad[100] ^= 1;
  b.poke(0xc8000, bad);
  b.poke(0xc8800, [0x55, 0xaa, 0]);
  b.poke(0xdf800, [0x55, 0xaa, 0xff]);
  b.poke(0xca000, optionRom().subarray(1));
  assert.deepEqual(calls(b), []);
});
