import assert from "node:assert/strict";
import { Latch, Reg } from "../../../devices/interrupts/local_apic/registers.ts";
import { PcInterrupts } from "../../../devices/interrupts/pc_interrupts.ts";
import { record, u32s } from "../../../hv/core/state/record.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const CPUS = 2;
const WakeState = record("test.wakes", 1, { count: u32s(CPUS) });

function build(bench: TestBench) {
  const wakes = bench.state(WakeState, "bench.wakes").count;
  const chips = new PcInterrupts({
    arena: bench.arena,
    timers: bench.timers,
    clock: bench.clock,
    cpus: CPUS,
    physicalAddressBits: 40,
    ioapicAddress: 0xfec0_0000,
    wake: (cpu) => wakes[cpu]++,
    tscDeadlineNs: (_cpu, low, high) => high * 2 ** 32 + low,
  });
  return { bench, chips, wakes };
}

/** The 8259s at vectors 08h and 70h, all open; I/O APIC pins masked. */
function start() {
  const made = build(new TestBench());
  const { chips } = made;
  chips.reset();
  for (const [chip, base] of [[chips.pic.master, 0x08], [chips.pic.slave, 0x70]] as const) {
    chip.write(0, 1, 0x11);
    for (const value of [base, base === 8 ? 4 : 2, 1, 0]) chip.write(1, 1, value);
  }
  return made;
}

/** Opens pin `pin` of the I/O APIC, and the local APIC of processor 0. */
function route(chips: PcInterrupts, pin: number, low: number): void {
  chips.apics[0].write(Reg.SVR, 4, 0x1ff);
  chips.ioapic.write(0, 4, 0x10 + 2 * pin);
  chips.ioapic.write(0x10, 4, low);
}

/** Takes and ends every interrupt of a processor; the 8259s' are left in service. */
function served(chips: PcInterrupts, cpu = 0): number[] {
  const vectors: number[] = [];
  for (let vector = chips.takeInterrupt(cpu); vector >= 0; vector = chips.takeInterrupt(cpu)) {
    vectors.push(vector);
    if (vector >= 0x30 && vector < 0x70) chips.apics[cpu].write(Reg.EOI, 4, 0);
  }
  return vectors;
}

const endPic = (chips: PcInterrupts) => {
  chips.pic.slave.write(0, 1, 0x20);
  chips.pic.master.write(0, 1, 0x20);
};

deviceContract("pc interrupts", (bench) => {
  const { chips } = build(bench);
  const [apic] = chips.apics;
  return {
    device: chips,
    ports: [
      { handler: chips.pic.master, length: 2, sizes: [1] },
      { handler: chips.pic.slave, length: 2, sizes: [1] },
      { handler: chips.pit, length: 4, sizes: [1] },
      { handler: chips.port61, length: 1, sizes: [1] },
      { handler: chips.ioapic, length: 0x20, sizes: [4] },
      { handler: apic, length: 0x400, sizes: [4] },
    ],
    events: [
      (random) => chips.setIrq(random.below(24), random.chance(50)),
      (random) => chips.sendMsi(0xfee0_0000 + random.below(2) * 0x1000, random.below(0x1000)),
      (random) => {
        chips.takeInterrupt(random.below(CPUS));
      },
      (random) => chips.setLegacyReplacement(random.chance(50)),
    ],
    likely: [
      { port: 0, offset: 0, size: 1, values: [0x11, 0x20] },
      { port: 2, offset: 3, size: 1, values: [0x34, 0x30] },
      { port: 2, offset: 0, size: 1, values: [0x10, 0x80] },
      { port: 4, offset: 0, size: 4, values: [0x14, 0x30] },
      { port: 4, offset: 0x10, size: 4, values: [0x41, 0x8042, 0x700] },
      { port: 5, offset: Reg.SVR, size: 4, values: [0x1ff] },
      { port: 5, offset: Reg.EOI, size: 4, values: [0] },
    ],
  };
});

Deno.test("an ISA line reaches the 8259s, through LINT0 of the boot processor, as firmware leaves it", () => {
  const { chips, wakes } = start();
  const before = wakes[0];
  chips.setIrq(4, true);
  assert.equal(wakes[0], before + 1);
  assert.equal(chips.hasInterrupt(0), true);
  assert.equal(chips.hasInterrupt(1), false);
  assert.deepEqual(served(chips), [0x0c]);
  endPic(chips);
  chips.setIrq(11, true);
  assert.deepEqual(served(chips), [0x73]);
});

Deno.test("a line reaches the I/O APIC's input of its number, 0 input 2, and 2 nothing", () => {
  for (const [gsi, pin] of [[4, 4], [0, 2], [9, 9], [20, 20]]) {
    const { chips } = start();
    chips.pic.master.write(1, 1, 0xff);
    route(chips, pin, 0x41);
    chips.setIrq(gsi, true);
    assert.deepEqual(served(chips), [0x41], `line ${gsi}`);
  }
  const { chips } = start();
  route(chips, 2, 0x41);
  chips.setIrq(2, true);
  assert.deepEqual(served(chips), []);
});

Deno.test("the 8254 ticks at the 8259's input 0 and the I/O APIC's input 2, once a period", () => {
  const { bench, chips } = start();
  route(chips, 2, 0x41);
  chips.pit.write(3, 1, 0x34);
  chips.pit.write(0, 1, 0xa9);
  chips.pit.write(0, 1, 0x04); // 1193: 1 ms
  assert.deepEqual(served(chips), [], "programming it is no tick");
  for (let i = 0; i < 3; i++) {
    bench.advance(1_001_000);
    assert.deepEqual(served(chips), [0x08, 0x41]);
    endPic(chips);
  }
});

Deno.test("the 8254's pulses leave line 0 to others, and the HPET can take its place", () => {
  const { bench, chips } = start();
  chips.setIrq(0, true);
  assert.deepEqual(served(chips), [0x08]);
  endPic(chips);
  chips.setIrq(0, false);
  chips.setLegacyReplacement(true);
  chips.pit.write(3, 1, 0x34);
  chips.pit.write(0, 1, 0xa9);
  chips.pit.write(0, 1, 0x04);
  bench.advance(10_000_000);
  assert.deepEqual(served(chips), []);
  chips.setIrq(0, true);
  assert.deepEqual(served(chips), [0x08]);
});

Deno.test("a level-triggered line comes again after EOI while it is asserted, through all chips", () => {
  const { chips } = start();
  route(chips, 18, 0x8041);
  chips.setIrq(18, true);
  assert.equal(chips.takeInterrupt(0), 0x41);
  assert.equal(chips.takeInterrupt(0), -1);
  chips.apics[0].write(Reg.EOI, 4, 0);
  assert.equal(chips.takeInterrupt(0), 0x41);
  chips.setIrq(18, false);
  chips.apics[0].write(Reg.EOI, 4, 0);
  assert.equal(chips.takeInterrupt(0), -1);
});

Deno.test("an MSI reaches the local APIC that its address names", () => {
  const { chips, wakes } = start();
  chips.apics[1].write(Reg.SVR, 4, 0x1ff);
  chips.sendMsi(0xfee0_1000, 0x41);
  chips.sendMsi(0xfec0_1000, 0x42);
  assert.equal(wakes[1], 1);
  assert.deepEqual(served(chips, 0), []);
  assert.deepEqual(served(chips, 1), [0x41]);
});

Deno.test("an ExtINT entry of the I/O APIC has its processor ask the 8259s, once a message", () => {
  const { chips } = start();
  chips.apics[0].write(Reg.LVT_LINT0, 4, 0x1_0000);
  route(chips, 5, 0x700);
  chips.setIrq(5, true);
  assert.equal(chips.apics[0].latches, Latch.extInt);
  assert.deepEqual(served(chips), [0x0d]);
  assert.equal(chips.apics[0].latches, 0);
});

Deno.test("chips saved and restored elsewhere go on: requests, service, levels and port 61h", () => {
  const { bench, chips } = start();
  route(chips, 18, 0x8041);
  chips.setIrq(4, true);
  chips.setIrq(18, true);
  chips.pit.write(3, 1, 0xb6);
  chips.port61.write(0, 1, 3);
  const blobs = chips.saveChips();
  assert.deepEqual([...blobs.keys()], ["kvm.pic0", "kvm.pic1", "kvm.ioapic", "kvm.pit"]);
  const other = build(new TestBench());
  other.chips.reset();
  other.bench.clock.ns = bench.clock.ns + 5e9;
  other.chips.restoreChips(blobs);
  assert.deepEqual(other.chips.saveChips().get("kvm.ioapic"), blobs.get("kvm.ioapic"));
  assert.deepEqual(other.chips.saveChips().get("kvm.pic0"), blobs.get("kvm.pic0"));
  assert.equal(other.chips.port61.read(0, 1) & 3, 3);
  assert.deepEqual(served(other.chips), [0x0c]);
  endPic(other.chips);
  other.chips.setIrq(4, true);
  assert.deepEqual(served(other.chips), [], "the line was high before");
  other.chips.apics[0].write(Reg.SVR, 4, 0x1ff);
  other.chips.setIrq(18, false);
  other.chips.ioapic.endOfInterrupt(0x41);
  other.chips.setIrq(18, true);
  assert.equal(other.chips.takeInterrupt(0), 0x41);
});

Deno.test("restoring an 8254 makes no tick of its own", () => {
  const { chips } = start();
  chips.pit.write(3, 1, 0x30); // mode 0: low until it has counted
  const low = chips.saveChips().get("kvm.pit")!;
  chips.pit.write(3, 1, 0x34);
  served(chips);
  endPic(chips);
  const pit = chips.saveChips().get("kvm.pit")!;
  chips.restoreChips(new Map([["kvm.pit", low]]));
  chips.restoreChips(new Map([["kvm.pit", pit]]));
  assert.deepEqual(served(chips), []);
});

Deno.test("a reset leaves no interrupt behind", () => {
  const { chips } = start();
  route(chips, 4, 0x41);
  for (const gsi of [0, 4, 9]) chips.setIrq(gsi, true);
  chips.reset();
  assert.deepEqual([chips.hasInterrupt(0), chips.hasInterrupt(1)], [false, false]);
  const pic = chips.saveChips().get("kvm.pic0")!;
  assert.deepEqual([...pic.subarray(8, 12)], [0, 0, 0, 0]);
});

Deno.test("lines that were high before a restore are no new edges for the I/O APIC", () => {
  const { chips } = start();
  for (const pin of [2, 4, 11]) route(chips, pin, 0x40 + pin);
  for (const gsi of [0, 4, 11]) chips.setIrq(gsi, true);
  const blobs = chips.saveChips();
  const { chips: other, bench } = build(new TestBench());
  other.reset();
  other.apics[0].write(Reg.SVR, 4, 0x1ff);
  other.apics[0].write(Reg.LVT_LINT0, 4, 0x1_0000);
  other.restoreChips(blobs);
  for (const gsi of [0, 4, 11]) other.setIrq(gsi, true);
  assert.deepEqual(served(other), []);
  bench.advance(100_000_000);
  assert.deepEqual(served(other), [], "the 8254 finds line 0 high");
  for (const gsi of [0, 4, 11, 5]) other.setIrq(gsi, false);
  for (const gsi of [0, 4, 11, 5]) other.setIrq(gsi, true);
  assert.deepEqual(served(other), [0x4b, 0x44, 0x42]);
});

Deno.test("an 8254 whose place the HPET has taken is restored as such, and as connected otherwise", () => {
  for (const active of [false, true]) {
    const { chips } = start();
    chips.setLegacyReplacement(active);
    chips.port61.write(0, 1, active ? 2 : 1);
    const blobs = chips.saveChips();
    const made = start();
    made.chips.setLegacyReplacement(!active);
    made.chips.restoreChips(blobs);
    assert.deepEqual(made.chips.saveChips().get("kvm.pit")?.[72], active ? 3 : 0);
    assert.equal(made.chips.port61.read(0, 1) & 3, active ? 2 : 1);
    made.chips.pit.write(3, 1, 0x34);
    made.chips.pit.write(0, 1, 0xa9);
    made.chips.pit.write(0, 1, 0x04);
    made.bench.advance(2_000_000);
    assert.deepEqual(served(made.chips), active ? [] : [0x08]);
  }
});

Deno.test("the 8259s' vector 0 is an interrupt like any other", () => {
  const { chips } = start();
  chips.pic.master.write(0, 1, 0x11);
  for (const value of [0, 4, 1, 0]) chips.pic.master.write(1, 1, value);
  chips.setIrq(0, true);
  assert.deepEqual(served(chips), [0]);
});
