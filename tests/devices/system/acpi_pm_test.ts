import assert from "node:assert/strict";
import { AcpiPm, AcpiPmState } from "../../../devices/system/acpi_pm.ts";
import { pmDeadlineNs } from "../../../devices/system/acpi_pm_timer.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const PMSTS = 0;
const PMEN = 2;
const PMCNTRL = 4;
const PMTMR = 8;

function pmOn(bench: TestBench, timerBits?: 24 | 32) {
  const offs: string[] = [];
  const sci = bench.irq("sci");
  const pm = new AcpiPm(bench.state(AcpiPmState), {
    clock: bench.clock,
    timer: bench.timer(),
    sci,
    powerOff: () => offs.push("off"),
    timerBits,
  });
  return { pm, sci, offs };
}

function started(timerBits?: 24 | 32) {
  const bench = new TestBench();
  const parts = pmOn(bench, timerBits);
  parts.pm.reset();
  return { bench, block: parts.pm.block, ...parts };
}

deviceContract("ACPI power management", (bench) => {
  const { pm } = pmOn(bench);
  return {
    device: pm,
    ports: [
      { handler: pm.block, length: 64, sizes: [1, 2, 4] },
      { handler: pm.gpe0, length: 4, sizes: [1, 2, 4] },
      { handler: pm.command, length: 2, sizes: [1] },
    ],
    events: [() => pm.pressPowerButton(), (random) => pm.raiseGpe(random.below(16))],
    likely: [
      { port: 0, offset: PMSTS, size: 2, values: [0xffff, 1] },
      { port: 0, offset: PMEN, size: 2, values: [0x0101, 0] },
      { port: 2, offset: 0, size: 1, values: [0xf0, 0xf1] },
    ],
  };
});

Deno.test("PMTMR counts at 3.579545 MHz in 24 bits (82371AB, PMTMR)", () => {
  const { bench, block } = started();
  assert.equal(block.read(PMTMR, 4), 0);
  bench.advance(1_000_000_000);
  assert.equal(block.read(PMTMR, 4), 3_579_545);
  bench.advance(4_000_000_000);
  assert.equal(block.read(PMTMR, 4), 17_897_725 - 2 ** 24);
  assert.equal(block.read(PMTMR + 1, 1), ((17_897_725 - 2 ** 24) >> 8) & 0xff);
});

Deno.test("PMTMR counts in 32 bits where it is told to (ACPI 6.4, TMR_VAL_EXT)", () => {
  const { bench, block } = started(32);
  bench.advance(5_000_000_000);
  assert.equal(block.read(PMTMR, 4), 17_897_725);
});

Deno.test("TMROF_STS is set whenever bit 23 changes, and SCI follows (82371AB, PMSTS)", () => {
  const { bench, pm, block, sci } = started();
  pm.command.write(0, 1, 0xf1);
  block.write(PMEN, 2, 0x0001);
  // 2^23 counts take 2.343 s.
  bench.advance(2_343_000_000);
  assert.equal(block.read(PMSTS, 2), 0);
  bench.advance(1_000_000);
  assert.equal(sci.level, true);
  assert.equal(block.read(PMSTS, 2), 1);
  block.write(PMSTS, 2, 1);
  assert.equal(sci.level, false);
  bench.advance(2_342_000_000);
  assert.equal(sci.level, false);
  bench.advance(2_000_000);
  assert.equal(sci.level, true);
  assert.equal(sci.raised, 2);
});

Deno.test("TMROF_STS is seen by polling too, without any interrupt (82371AB, PMSTS)", () => {
  const { bench, block, sci } = started();
  bench.advance(pmDeadlineNs(2 ** 23) + 300);
  assert.equal(block.read(PMSTS, 2), 1);
  assert.equal(block.read(PMSTS, 1), 1);
  assert.equal(sci.raised, 0);
});

Deno.test("the power button raises SCI when PWRBTN_EN is set (82371AB, PMSTS, PMEN)", () => {
  const { pm, block, sci } = started();
  pm.command.write(0, 1, 0xf1);
  pm.pressPowerButton();
  assert.equal(sci.level, false);
  block.write(PMEN, 2, 0x0100);
  assert.equal(sci.level, true);
  block.write(PMSTS + 1, 1, 0x01);
  assert.equal(sci.level, false);
  assert.equal(block.read(PMSTS, 4), 0x0100_0000);
});

Deno.test("writing PMEN does not clear PMSTS, nor the other way round (82371AB, 7.2)", () => {
  const { pm, block } = started();
  pm.pressPowerButton();
  block.write(PMEN, 2, 0xffff);
  assert.equal(block.read(PMSTS, 4), 0x0521_0100);
  block.write(PMSTS, 2, 0xffff);
  assert.equal(block.read(PMSTS, 4), 0x0521_0000);
});

Deno.test("the command port enters and leaves ACPI mode (FADT: SMI_CMD, F1h and F0h)", () => {
  const { pm, block } = started();
  assert.equal(block.read(PMCNTRL, 2), 0);
  pm.command.write(0, 1, 0xf1);
  assert.equal(block.read(PMCNTRL, 2), 1);
  assert.equal(pm.acpiMode, true);
  pm.command.write(0, 1, 0xf0);
  assert.equal(block.read(PMCNTRL, 2), 0);
  assert.equal(pm.command.read(0, 1), 0xf0);
  pm.command.write(1, 1, 0x77);
  assert.equal(pm.command.read(1, 1), 0x77);
});

Deno.test("SLP_EN with type 0 ends the machine, and reads as 0 (82371AB, PMCNTRL)", () => {
  const { block, offs } = started();
  block.write(PMCNTRL, 2, 0x0000);
  assert.deepEqual(offs, []);
  block.write(PMCNTRL, 2, 0x2001);
  assert.deepEqual(offs, ["off"]);
  assert.equal(block.read(PMCNTRL, 2), 1);
});

Deno.test("SLP_EN with another type wakes at once with WAK_STS (ACPI 6.4, 4.8.3.1.1)", () => {
  const { block, offs } = started();
  block.write(PMCNTRL, 2, 0x2401);
  assert.deepEqual(offs, []);
  assert.equal(block.read(PMSTS, 2), 0x8000);
  block.write(PMSTS, 2, 0x8000);
  assert.equal(block.read(PMSTS, 2), 0);
});

Deno.test("GPE0 has status bits cleared by ones and enable bits (ACPI 6.4, 4.8.4.1)", () => {
  const { pm, sci } = started();
  pm.command.write(0, 1, 0xf1);
  pm.raiseGpe(2);
  assert.equal(sci.level, false);
  pm.gpe0.write(2, 1, 0x04);
  assert.equal(sci.level, true);
  assert.equal(pm.gpe0.read(0, 4), 0x0004_0004);
  pm.gpe0.write(0, 1, 0x04);
  assert.equal(sci.level, false);
  assert.equal(pm.gpe0.read(0, 4), 0x0004_0000);
});

Deno.test("offsets from 0Ch on read as zero, also across the border (82371AB, 7.2)", () => {
  const { bench, block } = started();
  bench.advance(1000);
  assert.equal(block.read(0x0c, 4), 0);
  assert.equal(block.read(0x0a, 4), 0);
  assert.equal(block.read(0x3f, 1), 0);
});
