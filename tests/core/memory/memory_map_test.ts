import assert from "node:assert/strict";
import { I440fx } from "../../../devices/pci/i440fx.ts";
import { PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { IoBus } from "../../../hv/core/bus/io_bus.ts";
import { MemoryFallback } from "../../../hv/core/memory/memory_fallback.ts";
import {
  changedSlots,
  type MemoryLayout,
  type MemorySlot,
  memorySlots,
  SEGMENTS,
  SHADOW_BASE,
  SHADOW_END,
  type ShadowRegisters,
  Slot,
} from "../../../hv/core/memory/memory_map.ts";
import { seeded } from "../../support/random.ts";
import { TestBench } from "../../support/test_bench.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const LOW = 64 * MIB;
const ROM_OFFSET = LOW;
const VGA_ROM_OFFSET = ROM_OFFSET + 256 * 1024;

const layout: MemoryLayout = {
  lowBytes: LOW,
  highBytes: 0,
  rom: { memoryOffset: ROM_OFFSET, length: 256 * 1024 },
  optionRoms: [{ memoryOffset: VGA_ROM_OFFSET, length: 0x9000, guestAddress: 0xc_0000 }],
  displayWindow: { memoryOffset: 0x800_0000, length: 0x1_0000, guestAddress: 0xa_0000 },
};

const reset: ShadowRegisters = { pam: new Uint8Array(7), smram: 0x02 };
const pam = (...values: number[]): ShadowRegisters => ({
  pam: Uint8Array.from({ length: 7 }, (_, i) => values[i] ?? 0),
  smram: 0x02,
});
const slotsOf = (registers: ShadowRegisters, of = layout) => memorySlots(of, registers);
const bySlot = (slots: MemorySlot[], slot: number) => slots.find((s) => s.slot === slot)!;

Deno.test("after reset C0000h-FFFFFh reads ROM where there is one (82441FX, PAM[6:0])", () => {
  const mapped = slotsOf(reset).filter(({ length }) => length > 0);
  assert.deepEqual(
    mapped.map((
      { slot, guestAddress, length, memoryOffset, readOnly },
    ) => [slot, guestAddress, length, memoryOffset, readOnly ?? false]),
    [
      [0, 0, 0xa_0000, 0, false],
      [1, 0xc_0000, 0x4000, VGA_ROM_OFFSET, true],
      [2, 0xc_4000, 0x4000, VGA_ROM_OFFSET + 0x4000, true],
      [3, 0xc_8000, 0x1000, VGA_ROM_OFFSET + 0x8000, true],
      [9, 0xe_0000, 0x4000, ROM_OFFSET + 0x2_0000, true],
      [10, 0xe_4000, 0x4000, ROM_OFFSET + 0x2_4000, true],
      [11, 0xe_8000, 0x4000, ROM_OFFSET + 0x2_8000, true],
      [12, 0xe_c000, 0x4000, ROM_OFFSET + 0x2_c000, true],
      [13, 0xf_0000, 0x1_0000, ROM_OFFSET + 0x3_0000, true],
      [14, 0x10_0000, LOW - MIB, MIB, false],
      [16, 0xfffc_0000, 0x4_0000, ROM_OFFSET, true],
      [18, 0xa_0000, 0x1_0000, 0x800_0000, false],
    ],
  );
});

Deno.test("a segment maps what its RE and WE bits say (82441FX, PAM[6:0])", () => {
  const f0000 = (bits: number) => bySlot(slotsOf(pam(bits << 4)), Slot.shadow + 12);
  const rom = { slot: 13, guestAddress: 0xf_0000, length: 0x1_0000 };
  assert.deepEqual(f0000(0), { ...rom, memoryOffset: ROM_OFFSET + 0x3_0000, readOnly: true });
  assert.deepEqual(f0000(1), { ...rom, memoryOffset: 0xf_0000, readOnly: true });
  assert.deepEqual(f0000(2), { ...rom, memoryOffset: ROM_OFFSET + 0x3_0000, readOnly: true });
  assert.deepEqual(f0000(3), { ...rom, memoryOffset: 0xf_0000, readOnly: false });
});

Deno.test("PAM registers govern the segments of the table (82441FX, table 3-2)", () => {
  const ramAt = (registers: ShadowRegisters) =>
    slotsOf(registers).filter(({ slot, memoryOffset, length }) =>
      slot >= 1 && slot <= 13 && length > 0 && memoryOffset < MIB
    ).map(({ guestAddress }) => guestAddress);
  assert.deepEqual(ramAt(pam(0x30)), [0xf_0000]);
  assert.deepEqual(ramAt(pam(0, 0x03)), [0xc_0000]);
  assert.deepEqual(ramAt(pam(0, 0x30)), [0xc_4000]);
  assert.deepEqual(ramAt(pam(0, 0, 0x33)), [0xc_8000, 0xc_c000]);
  assert.deepEqual(ramAt(pam(0, 0, 0, 0x33)), [0xd_0000, 0xd_4000]);
  assert.deepEqual(ramAt(pam(0, 0, 0, 0, 0x33)), [0xd_8000, 0xd_c000]);
  assert.deepEqual(ramAt(pam(0, 0, 0, 0, 0, 0x33)), [0xe_0000, 0xe_4000]);
  assert.deepEqual(ramAt(pam(0, 0, 0, 0, 0, 0, 0x33)), [0xe_8000, 0xe_c000]);
});

Deno.test("a 64 KiB ROM has its alias at F0000h only, a 4 MiB ROM its last 128 KiB", () => {
  const aliases = (length: number) =>
    slotsOf(reset, { ...layout, optionRoms: [], rom: { memoryOffset: LOW, length } })
      .filter(({ slot, length }) => slot >= 1 && slot <= 13 && length > 0)
      .map(({ guestAddress, memoryOffset }) => [guestAddress, memoryOffset - LOW]);
  assert.deepEqual(aliases(64 * 1024), [[0xf_0000, 0]]);
  assert.deepEqual(aliases(4 * MIB)[0], [0xe_0000, 4 * MIB - 0x2_0000]);
  assert.equal(aliases(4 * MIB).length, 5);
});

Deno.test("RAM beyond 3 GiB goes on at 4 GiB", () => {
  const slots = slotsOf(reset, { lowBytes: 3 * GIB, highBytes: 2 * GIB });
  assert.deepEqual(bySlot(slots, Slot.ramHigh), {
    slot: 15,
    guestAddress: 4 * GIB,
    length: 2 * GIB,
    memoryOffset: 3 * GIB,
  });
});

Deno.test("open SMRAM shows RAM at A0000h instead of the display (82441FX, SMRAM)", () => {
  const slots = slotsOf({ ...reset, smram: 0x4a });
  assert.equal(bySlot(slots, Slot.displayWindow).length, 0);
  assert.deepEqual(bySlot(slots, Slot.smram), {
    slot: 17,
    guestAddress: 0xa_0000,
    length: 0x2_0000,
    memoryOffset: 0xa_0000,
  });
  assert.equal(bySlot(slotsOf({ ...reset, smram: 0x42 }), Slot.smram).length, 0);
});

Deno.test("changed slots are only those, and removals come first", () => {
  const shadowed = changedSlots(slotsOf(reset), slotsOf(pam(0x30, 0x03)));
  assert.deepEqual(shadowed.map(({ slot }) => slot), [1, 13]);
  const opened = changedSlots(slotsOf(reset), slotsOf({ ...reset, smram: 0x4a }));
  assert.deepEqual(opened.map(({ slot, length }) => [slot, length]), [[18, 0], [17, 0x2_0000]]);
  assert.deepEqual(changedSlots(slotsOf(reset), slotsOf(reset)), []);
});

Deno.test("no two slots overlap at any time, whatever the chip set's registers go through", () => {
  seeded((random) => {
    const overlap = (slots: MemorySlot[]) =>
      slots.some((a, i) =>
        slots.some((b, j) =>
          i < j && a.guestAddress < b.guestAddress + b.length &&
          b.guestAddress < a.guestAddress + a.length
        )
      );
    let now = slotsOf(reset);
    for (let i = 0; i < 300; i++) {
      const next = slotsOf({
        pam: Uint8Array.from({ length: 7 }, () => random.below(256)),
        smram: random.below(256),
      });
      const live = [...now];
      for (const change of changedSlots(now, next)) {
        live[change.slot] = change;
        assert.equal(overlap(live), false, `step ${i}, slot ${change.slot}`);
      }
      assert.deepEqual(
        live.map((s) => s.length && s.memoryOffset),
        next.map((s) => s.length && s.memoryOffset),
      );
      now = next;
    }
  });
});

Deno.test("the chip set's registers give the map (82441FX, PAM[6:0])", () => {
  let changed: MemorySlot[] = [];
  const chip = new I440fx(new TestBench().state(PciFunctionState), (after, before) => {
    changed = changedSlots(slotsOf(before), slotsOf(after));
  });
  chip.reset();
  chip.pci.configWrite(0x5a, 1, 0x01);
  assert.deepEqual(changed, [
    { slot: 1, guestAddress: 0xc_0000, length: 0x4000, memoryOffset: 0xc_0000, readOnly: true },
  ]);
});

function fallback(registers: ShadowRegisters) {
  const memory = GuestMemory.allocate(MIB, MIB);
  const rom = memory.allocateDeviceMemory(0x2_0000);
  rom.bytes.fill(0xaa);
  rom.bytes[0x2_0000 - 16] = 0xea;
  const of: MemoryLayout = {
    lowBytes: MIB,
    highBytes: 0,
    rom: { memoryOffset: rom.offset, length: 0x2_0000 },
    optionRoms: [{ memoryOffset: rom.offset, length: 0x1000, guestAddress: 0xc_0000 }],
  };
  const device = new MemoryFallback(memory, of, () => registers);
  const bus = new IoBus("memory", 2 ** 32, new Int32Array(1));
  const length = SHADOW_END - SHADOW_BASE;
  bus.claim({ name: "rom", base: SHADOW_BASE, length, device, widths: { min: 1, max: 4 } });
  return { memory, bus, device };
}

Deno.test("writes to a segment that reads ROM reach the RAM behind it when WE is set", () => {
  const { memory, bus, device } = fallback(pam(0x20));
  bus.write(0xf_fff0, 4, 0x1234_5678);
  assert.equal(memory.readU32(0xf_fff0), 0x1234_5678);
  assert.equal(bus.read(0xf_fff0, 4), 0xaaaa_aaea);
  assert.equal(device.writable(0xf_fff0, 4), true);
});

Deno.test("writes to a segment without WE are dropped, reads give what RE says", () => {
  const { memory, bus, device } = fallback(pam(0x10));
  memory.writeU32(0xf_0000, 0x0bad_cafe);
  bus.write(0xf_0000, 4, 0);
  assert.equal(bus.read(0xf_0000, 4), 0x0bad_cafe);
  assert.equal(device.writable(0xf_0000, 1), false);
});

Deno.test("an access across two segments goes to both as each says", () => {
  const { memory, bus, device } = fallback(pam(0, 0x20));
  bus.write(0xc_3ffe, 4, 0x4433_2211);
  assert.equal(memory.readU32(0xc_3ffe), 0x4433_0000);
  assert.equal(device.writable(0xc_3ffe, 4), false);
  assert.equal(device.writable(0xc_4000, 2), true);
  assert.equal(device.writable(0xf_ffff, 2), false);
});

Deno.test("where a segment has no ROM, or its ROM is shorter, the guest reads ones", () => {
  const { bus } = fallback(reset);
  assert.equal(bus.read(0xc_0ffe, 4), 0xffff_aaaa);
  assert.equal(bus.read(0xd_0000, 4), 0xffff_ffff);
});

Deno.test("the segments of PAM fill C0000h-FFFFFh without gaps", () => {
  let at = SHADOW_BASE;
  for (const { base, length } of SEGMENTS) {
    assert.equal(base, at);
    at += length;
  }
  assert.equal(at, SHADOW_END);
});
