import assert from "node:assert/strict";
import { deviceContract } from "../../support/contract.ts";
import { Driver, wire } from "./i82077_bench.ts";

const READ = [0xe6, 0x66, 0xc6, 0x46];
const likelyBytes = [
  ...READ,
  0xc5,
  0x45,
  0x4d,
  0x4a,
  0x42,
  0x07,
  0x08,
  0x0f,
  0x16,
  0xd6,
  0xcc,
  0xec,
];

deviceContract("i82077", (bench) => {
  const { fdc, dma, ports } = wire(bench, { sizes: [163_840, 184_320] });
  return {
    device: {
      reset: () => {
        dma.reset();
        fdc.reset();
      },
    },
    ports: [
      { handler: fdc.registers, length: 6, sizes: [1] },
      { handler: fdc.control, length: 1, sizes: [1] },
      { handler: dma.first, length: 16, sizes: [1] },
    ],
    events: [
      (random) => random.pick(ports).setMedium(undefined),
      (random) => random.pick(ports).setMedium({ sizeBytes: 163_840, readOnly: random.chance(20) }),
      // A driver's read or write of a few sectors by DMA, as far as its bytes are taken.
      (random) => {
        const out = (offset: number, value: number) => fdc.registers.write(offset, 1, value);
        for (let i = 0; i < 10; i++) fdc.registers.read(5, 1);
        out(2, 0x3c);
        out(3, 0);
        const write = random.chance(40);
        dma.first.write(0xb, 1, write ? 0x5a : 0x56);
        dma.first.write(0xa, 1, 2);
        const command = write ? random.pick([0xc5, 0x45, 0x4d]) : random.pick(READ);
        const tail = command === 0x4d ? [2, 8, 0x1b, 0xf6] : [0, 0, 1, 2, 8, 0x1b, 0xff];
        for (const byte of [command, random.below(2), ...tail]) out(5, byte);
      },
    ],
    likely: [
      { port: 0, offset: 2, size: 1, values: [0x1c, 0x1c, 0x3c, 0x0c, 0x08] },
      { port: 0, offset: 5, size: 1, values: likelyBytes },
      { port: 0, offset: 5, size: 1, values: [0, 1, 2, 8, 9] },
      { port: 1, offset: 0, size: 1, values: [2, 2, 2, 0] },
      { port: 2, offset: 11, size: 1, values: [0x56, 0x5a] },
      { port: 2, offset: 10, size: 1, values: [2] },
    ],
  };
}, { blindSteps: 20_000 });

Deno.test("i82077 reset ends with an interrupt, which four SENSE INTERRUPTs explain (82077AA, 3.2, 5.2.4)", () => {
  const driver = new Driver();
  driver.out(2, 0x08);
  assert.equal(driver.msr(), 0, "held in reset");
  driver.out(2, 0x0c);
  assert.equal(driver.msr(), 0, "not ready before the interrupt");
  assert.equal(driver.irq.level, false);
  driver.settle();
  assert.equal(driver.msr(), 0x80);
  assert.equal(driver.irq.level, true);
  assert.deepEqual(driver.command(0x08), [0xc0, 0]);
  assert.equal(driver.irq.level, false);
  assert.deepEqual(driver.command(0x08), [0xc1, 0]);
  assert.deepEqual(driver.command(0x08), [0xc2, 0]);
  assert.deepEqual(driver.command(0x08), [0xc3, 0]);
  assert.deepEqual(driver.command(0x08), [0x80]);
});

Deno.test("i82077 the reset bit of DSR resets and clears itself (82077AA, 2.1.4)", () => {
  const driver = new Driver();
  driver.reset();
  driver.out(4, 0x82);
  driver.settle();
  assert.equal(driver.irq.level, true);
  assert.deepEqual(driver.command(0x08), [0xc0, 0]);
});

Deno.test("i82077 without polling a reset gives no interrupt (82077AA, 5.2.7)", () => {
  const driver = new Driver();
  driver.reset();
  driver.command(0x13, 0, 0x10, 0);
  assert.deepEqual(driver.command(0x94), [0x10]);
  const before = driver.irq.raised;
  driver.out(2, 0x08);
  driver.out(2, 0x0c);
  driver.settle();
  assert.equal(driver.irq.raised, before);
  assert.equal(driver.msr(), 0x80);
});

Deno.test("i82077 starts as POST leaves it: ready, DMA gate open, no interrupt", () => {
  const driver = new Driver();
  driver.settle();
  assert.equal(driver.fdc.registers.read(2, 1), 0x0c);
  assert.equal(driver.msr(), 0x80);
  assert.equal(driver.irq.raised, 0);
  // Older SeaBIOS from here on, in floppy_disable_controller and floppy_enable_controller.
  driver.out(2, driver.fdc.registers.read(2, 1) & ~0x04);
  driver.out(2, driver.fdc.registers.read(2, 1) | 0x04);
  driver.settle();
  assert.equal(driver.irq.level, true);
});

Deno.test("i82077 DOR bit 3 gates the interrupt (82077AA, 2.1.2)", () => {
  const driver = new Driver();
  driver.out(2, 0);
  driver.out(2, 0x04);
  driver.settle();
  assert.equal(driver.irq.level, false);
  driver.out(2, 0x0c);
  assert.equal(driver.irq.level, true);
  assert.equal(driver.fdc.registers.read(2, 1), 0x0c);
});

Deno.test("i82077 SEEK interrupts after the command, SENSE INTERRUPT tells drive and cylinder (82077AA, 5.2.3)", () => {
  const driver = new Driver({ sizes: [163_840, 163_840] });
  driver.reset();
  driver.send(0x0f, 1, 12);
  assert.equal(driver.irq.level, false);
  assert.equal(driver.msr(), 0x82, "drive 1 busy, controller free");
  driver.settle();
  assert.equal(driver.irq.level, true);
  assert.equal(driver.msr(), 0x80);
  assert.deepEqual(driver.command(0x08), [0x21, 12]);
  assert.equal(driver.irq.level, false);
});

Deno.test("i82077 seeks on two drives overlap, each with its own SENSE INTERRUPT (82077AA, 5.2.3)", () => {
  const driver = new Driver({ sizes: [163_840, 163_840] });
  driver.reset();
  driver.send(0x0f, 1, 3);
  driver.send(0x0f, 0, 5);
  driver.settle();
  assert.deepEqual(driver.command(0x08), [0x20, 5]);
  assert.equal(driver.irq.level, true, "one is left");
  assert.deepEqual(driver.command(0x08), [0x21, 3]);
  assert.equal(driver.irq.level, false);
});

Deno.test("i82077 RECALIBRATE finds track 0, and fails with EC where there is no drive (82077AA, 5.2.2)", () => {
  const driver = new Driver();
  driver.reset();
  driver.seek(0, 39);
  driver.command(0x07, 0);
  assert.deepEqual(driver.command(0x08), [0x20, 0]);
  assert.deepEqual(driver.command(0x04, 0), [0x38], "ST3: track 0");
  driver.command(0x07, 1);
  assert.deepEqual(driver.command(0x08), [0x71, 0]);
});

Deno.test("i82077 RECALIBRATE steps 79 times at most (82077AA, 5.2.2)", () => {
  const driver = new Driver({ sizes: [51_200] });
  driver.reset();
  driver.seek(0, 82);
  driver.command(0x07, 0);
  assert.deepEqual(driver.command(0x08), [0x70, 0]);
  driver.command(0x07, 0);
  assert.deepEqual(driver.command(0x08), [0x20, 0]);
});

Deno.test("i82077 RELATIVE SEEK steps from where the head is (82077AA, 5.2.9)", () => {
  const driver = new Driver();
  driver.reset();
  driver.seek(0, 10);
  driver.command(0xcf, 0, 5);
  assert.deepEqual(driver.command(0x08), [0x20, 15]);
  driver.command(0x8f, 0, 3);
  assert.deepEqual(driver.command(0x08), [0x20, 12]);
});

Deno.test("i82077 SENSE DRIVE STATUS: write protection, head and drive (82077AA, 4.4.4)", () => {
  const driver = new Driver({ readOnly: true });
  driver.reset();
  assert.deepEqual(driver.command(0x04, 4), [0x28 | 0x40 | 0x10 | 4]);
  assert.deepEqual(driver.command(0x04, 1), [0x29]);
});

Deno.test("i82077 VERSION, PART ID and unknown codes: 90h, 80h, 80h (82077AA, 5.2.8, table 5-1)", () => {
  const driver = new Driver();
  driver.reset();
  assert.deepEqual(driver.command(0x10), [0x90]);
  // PART ID came with the 82078: that it is invalid is how Linux knows an 82077.
  assert.deepEqual(driver.command(0x18), [0x80]);
  assert.deepEqual(driver.command(0x1f), [0x80]);
  assert.equal(driver.irq.level, false);
});

Deno.test("i82077 DUMPREG shows what SPECIFY, CONFIGURE, PERPENDICULAR MODE and LOCK have set (82077AA, 5.2.10)", () => {
  const driver = new Driver({ sizes: [163_840, 163_840] });
  driver.reset();
  driver.seek(1, 7);
  driver.command(0x03, 0xdf, 0x02);
  driver.command(0x13, 0, 0x57, 0x11);
  driver.command(0x12, 0x80 | 0x0b);
  assert.deepEqual(driver.command(0x94), [0x10]);
  assert.deepEqual(driver.command(0x0e), [0, 7, 0, 0, 0xdf, 0x02, 0, 0x8b, 0x57, 0x11]);
});

Deno.test("i82077 a software reset spares SPECIFY, and CONFIGURE when locked (82077AA, 3.2, 5.2.12)", () => {
  const driver = new Driver();
  driver.reset();
  driver.command(0x03, 0xaf, 0x1e);
  driver.command(0x13, 0, 0x4a, 0x05);
  driver.command(0x12, 0x80 | 0x07);
  driver.command(0x94);
  driver.reset();
  assert.deepEqual(driver.command(0x0e), [0, 0, 0, 0, 0xaf, 0x1e, 0, 0x84, 0x4a, 0x05]);
  assert.deepEqual(driver.command(0x14), [0]);
  driver.reset();
  assert.deepEqual(driver.command(0x0e).slice(7), [0x04, 0x60, 0], "implied seek, no FIFO");
});

Deno.test("i82077 PERPENDICULAR MODE changes the drives' bits only with OW (82077AA, 5.2.11)", () => {
  const driver = new Driver();
  driver.reset();
  driver.command(0x12, 0x80 | 0x04);
  driver.command(0x12, 0x3c | 0x01);
  assert.equal(driver.command(0x0e)[7], 0x05);
});

Deno.test("i82077 the disk change line falls with the first step that finds a diskette (AT, DIR)", () => {
  const driver = new Driver();
  driver.reset();
  const dir = () => driver.fdc.control.read(0, 1);
  assert.equal(dir(), 0);
  driver.ports[0].setMedium(undefined);
  assert.equal(dir(), 0x80);
  driver.seek(0, 1);
  assert.equal(dir(), 0x80, "no diskette");
  driver.ports[0].setMedium({ sizeBytes: 163_840, readOnly: false });
  assert.equal(dir(), 0x80, "not stepped yet");
  driver.seek(0, 1);
  assert.equal(dir(), 0x80, "a seek to where the head is makes no step");
  driver.seek(0, 0);
  assert.equal(dir(), 0);
  driver.ports[0].setMedium({ sizeBytes: 163_840, readOnly: false });
  assert.equal(dir(), 0x80);
  driver.out(2, 0x3d);
  assert.equal(dir(), 0, "drive 1 is selected, which is not there");
});

Deno.test("i82077 AT mode leaves 3F0h and 3F1h alone, PS/2 mode has SRA, SRB and more of DIR (82077AA, 2.1)", () => {
  const at = new Driver();
  at.reset();
  assert.equal(at.fdc.registers.read(0, 1), 0xff);
  assert.equal(at.fdc.registers.read(1, 1), 0xff);
  const ps2 = new Driver({ ps2: true });
  ps2.out(2, 0);
  ps2.out(2, 0x14);
  ps2.settle();
  assert.equal(ps2.irq.level, true, "DMAGATE does not gate in PS/2 mode");
  assert.equal(ps2.fdc.registers.read(0, 1), 0xc6, "INT, no second drive, track 0, not protected");
  assert.equal(ps2.fdc.registers.read(1, 1), 0xc1);
  assert.equal(ps2.fdc.control.read(0, 1), 0x78, "500 kb/s, high density");
  ps2.fdc.control.write(0, 1, 2);
  assert.equal(ps2.fdc.control.read(0, 1), 0x78 | (2 << 1) | 1);
});

Deno.test("i82077 the tape drive register keeps its two bits (82077AA, 2.1.3)", () => {
  const driver = new Driver();
  driver.out(3, 0xfe);
  assert.equal(driver.fdc.registers.read(3, 1) & 3, 2);
});

Deno.test("i82077 bytes of a command are not taken during a result (82077AA, 2.1.6)", () => {
  const driver = new Driver();
  driver.reset();
  driver.send(0x10);
  assert.equal(driver.msr(), 0xd0);
  driver.out(5, 0x0e);
  assert.deepEqual(driver.result(), [0x90]);
  assert.equal(driver.msr(), 0x80);
});
