import assert from "node:assert/strict";
import { BlockResult } from "../../../hv/core/media/block.ts";
import { FloppyDriveType } from "../../../hv/core/media/floppy_formats.ts";
import { Driver, type Setup } from "./i82077_bench.ts";

const AT = 0x1_0000;
const KIB_160 = 163_840;
const KIB_720 = 737_280;

/** Reset, and no implied seeks; 720 KiB: 80 cylinders, 2 heads, 9 sectors. */
function ready(setup: Setup = { sizes: [KIB_720] }, rate = 2): Driver {
  const driver = new Driver(setup);
  driver.reset(rate);
  driver.command(0x13, 0, 0x20, 0);
  return driver;
}

Deno.test("i82077 READ DATA by DMA ends with TC: normal termination, R + 1 (82077AA, 5.1.1, table 5-6)", () => {
  const driver = ready();
  driver.program(true, AT, 3 * 512);
  driver.send(0x46, 0, 0, 0, 2, 2, 9, 0x1b, 0xff);
  assert.equal(driver.irq.level, false, "the interrupt comes after the command");
  assert.equal(driver.msr(), 0x10);
  driver.settle();
  assert.equal(driver.irq.level, true);
  assert.equal(driver.msr(), 0xd0);
  assert.deepEqual(driver.result(), [0, 0, 0, 0, 0, 5, 2]);
  assert.equal(driver.irq.level, false, "the first byte of the result drops it");
  assert.deepEqual(driver.marks(AT, 4), [1, 2, 3, 0]);
});

Deno.test("i82077 READ DATA up to EOT gives C + 1, R = 1 (82077AA, table 5-6, MT 0)", () => {
  const driver = ready();
  driver.seek(0, 1);
  driver.program(true, AT, 9 * 512);
  assert.deepEqual(driver.command(0x46, 4, 1, 1, 1, 2, 9, 0x1b, 0xff), [4, 0, 0, 2, 1, 1, 2]);
  assert.deepEqual(driver.marks(AT, 9), [27, 28, 29, 30, 31, 32, 33, 34, 35]);
});

Deno.test("i82077 multi-track goes on at side 1, sector 1 (82077AA, table 5-6, MT 1)", () => {
  const driver = ready();
  driver.program(true, AT, 4 * 512);
  assert.deepEqual(driver.command(0xc6, 0, 0, 0, 8, 2, 9, 0x1b, 0xff), [4, 0, 0, 0, 1, 3, 2]);
  assert.deepEqual(driver.marks(AT, 4), [7, 8, 9, 10]);
  driver.program(true, AT, 2 * 512);
  const atEot = driver.command(0xc6, 0, 0, 0, 8, 2, 9, 0x1b, 0xff);
  assert.deepEqual(atEot.slice(3), [0, 1, 1, 2], "side 0 up to EOT: H toggles");
  driver.program(true, AT, 18 * 512);
  const whole = driver.command(0xc6, 0, 0, 0, 1, 2, 9, 0x1b, 0xff);
  assert.deepEqual(whole.slice(1), [0, 0, 1, 0, 1, 2], "both sides: C + 1, H toggles back");
});

Deno.test("i82077 without TC at EOT: abnormal, end of cylinder (82077AA, 4.4.2)", () => {
  const driver = ready();
  driver.program(true, AT, 4 * 512);
  const [st0, st1] = driver.command(0x46, 0, 0, 0, 8, 2, 9, 0x1b, 0xff);
  assert.deepEqual([st0, st1], [0x40, 0x80]);
  assert.deepEqual(driver.marks(AT, 3), [7, 8, 0]);
});

Deno.test("i82077 TC in the middle of a sector ends the transfer there (82077AA, 5.1.1)", () => {
  const driver = ready();
  driver.program(true, AT, 700);
  const result = driver.command(0x46, 0, 0, 0, 2, 2, 9, 0x1b, 0xff);
  assert.deepEqual(result, [0, 0, 0, 0, 0, 4, 2]);
  assert.equal(driver.bench.memory.readU8(AT + 699), 2);
  assert.equal(driver.bench.memory.readU8(AT + 700), 0);
});

Deno.test("i82077 WRITE DATA by DMA, the cut-off sector filled with zeros (82077AA, 5.1.4)", () => {
  const driver = ready();
  driver.bench.memory.view(AT, 1024)!.fill(0x5a);
  driver.program(false, AT, 700);
  const result = driver.command(0x45, 0, 0, 0, 3, 2, 9, 0x1b, 0xff);
  assert.deepEqual(result, [0, 0, 0, 0, 0, 5, 2]);
  driver.program(true, 0x2_0000, 4 * 512);
  driver.command(0x46, 0, 0, 0, 2, 2, 9, 0x1b, 0xff);
  const { memory } = driver.bench;
  assert.deepEqual(driver.marks(0x2_0000, 4), [1, 0x5a, 0x5a, 4]);
  assert.equal(memory.readU8(0x2_0000 + 512 + 699), 0x5a);
  assert.equal(memory.readU8(0x2_0000 + 512 + 700), 0);
});

Deno.test("i82077 writes by multi-track cross to side 1 (82077AA, 5.1.4)", () => {
  const driver = ready();
  driver.bench.memory.view(AT, 1024)!.fill(0x77);
  driver.program(false, AT, 1024);
  const result = driver.command(0xc5, 0, 0, 0, 9, 2, 9, 0x1b, 0xff);
  assert.deepEqual(result, [4, 0, 0, 0, 1, 2, 2]);
  driver.program(true, 0x2_0000, 3 * 512);
  driver.command(0xc6, 0, 0, 0, 9, 2, 9, 0x1b, 0xff);
  assert.deepEqual(driver.marks(0x2_0000, 3), [0x77, 0x77, 10]);
});

Deno.test("i82077 WRITE DELETED DATA writes, if without the mark (82077AA, 5.1.5)", () => {
  const driver = ready();
  driver.bench.memory.view(AT, 512)!.fill(0x66);
  driver.program(false, AT, 512);
  assert.deepEqual(driver.command(0x49, 0, 0, 0, 1, 2, 9, 0x1b, 0xff), [0, 0, 0, 0, 0, 2, 2]);
  driver.program(true, AT, 512);
  driver.bench.memory.view(AT, 512)!.fill(0);
  driver.command(0x46, 0, 0, 0, 1, 2, 9, 0x1b, 0xff);
  assert.deepEqual(driver.marks(AT, 1), [0x66]);
});

Deno.test("i82077 READ DELETED DATA of an ordinary sector: read with CM set, or skipped (82077AA, table 5-7)", () => {
  const driver = ready();
  driver.program(true, AT, 1024);
  assert.deepEqual(driver.command(0x4c, 0, 0, 0, 3, 2, 9, 0x1b, 0xff), [0, 0, 0x40, 0, 0, 3, 2]);
  assert.deepEqual(driver.marks(AT, 2), [2, 0]);
  assert.deepEqual(driver.command(0x6c, 0, 0, 0, 4, 2, 9, 0x1b, 0xff), [0, 0, 0x40, 0, 0, 4, 2]);
  assert.deepEqual(driver.marks(AT, 2), [2, 0], "nothing read");
});

Deno.test("i82077 write protection: NW, nothing fetched or written (82077AA, 4.4.2)", () => {
  const driver = ready({ sizes: [KIB_720], readOnly: true });
  driver.program(false, AT, 512);
  const [st0, st1] = driver.command(0x45, 0, 0, 0, 1, 2, 9, 0x1b, 0xff);
  assert.deepEqual([st0, st1], [0x40, 0x02]);
  const [f0, f1] = driver.command(0x4d, 0, 2, 9, 0x50, 0xf6);
  assert.deepEqual([f0, f1], [0x40, 0x02]);
  assert.equal(driver.dma.channel(2).remaining(), 512);
});

Deno.test("i82077 what is not on the track: wrong cylinder, head, sector, size (82077AA, 4.4.2, 4.4.3)", () => {
  const driver = ready();
  driver.program(true, AT, 512);
  const status = (...command: number[]) => driver.command(...command, 0x1b, 0xff).slice(0, 3);
  assert.deepEqual(status(0x46, 0, 5, 0, 1, 2, 9), [0x40, 0x04, 0x10], "C: ND and WC");
  assert.deepEqual(status(0x46, 0, 0, 1, 1, 2, 9), [0x40, 0x04, 0], "H");
  assert.deepEqual(status(0x46, 0, 0, 0, 10, 2, 18), [0x40, 0x04, 0], "R");
  assert.deepEqual(status(0x46, 0, 0, 0, 0, 2, 9), [0x40, 0x04, 0], "R 0");
  assert.deepEqual(status(0x46, 0, 0, 0, 1, 3, 9), [0x40, 0x04, 0], "N");
  assert.deepEqual(driver.marks(AT, 1), [0]);
});

Deno.test("i82077 an EOT beyond the track ends where the sectors do, with ND (82077AA, 4.4.2)", () => {
  const driver = ready();
  driver.program(true, AT, 18 * 512);
  const result = driver.command(0x46, 0, 0, 0, 8, 2, 18, 0x1b, 0xff);
  assert.deepEqual(result, [0x40, 0x04, 0, 0, 0, 10, 2]);
  assert.deepEqual(driver.marks(AT, 3), [7, 8, 0]);
});

Deno.test("i82077 no medium, wrong rate, FM, missing side: no address mark (82077AA, 4.4.2)", () => {
  const status = (driver: Driver, ...command: number[]) => {
    driver.program(true, AT, 512);
    return driver.command(...command).slice(0, 2);
  };
  const read = [0x46, 0, 0, 0, 1, 2, 8, 0x1b, 0xff];
  assert.deepEqual(status(ready({ sizes: [0] }), ...read), [0x40, 0x01]);
  assert.deepEqual(status(ready({ sizes: [KIB_160] }, 0), ...read), [0x40, 0x01]);
  assert.deepEqual(status(ready(), 0x06, ...read.slice(1)), [0x40, 0x01]);
  const single = ready({ sizes: [KIB_160] });
  assert.deepEqual(status(single, 0x46, 4, 0, 1, 1, 2, 8, 0x1b, 0xff), [0x44, 0x01]);
  assert.deepEqual(status(single, 0x46, 1, ...read.slice(2)), [0x41, 0x01], "no drive");
  assert.deepEqual(status(single, ...read), [0, 0], "and it still works");
});

Deno.test("i82077 READ ID tells where the head is (82077AA, 5.2.1)", () => {
  const driver = ready();
  driver.seek(0, 7);
  assert.deepEqual(driver.command(0x4a, 4), [4, 0, 0, 7, 1, 1, 2]);
  assert.equal(driver.irq.level, false);
  assert.deepEqual(ready({ sizes: [0] }).command(0x4a, 0).slice(0, 2), [0x40, 0x01]);
});

Deno.test("i82077 40-cylinder diskettes need double steps in an 80-track drive", () => {
  const driver = ready({ sizes: [KIB_160], types: [FloppyDriveType.m1_2] }, 1);
  driver.seek(0, 10);
  assert.deepEqual(driver.command(0x4a, 0).slice(3), [5, 0, 1, 2]);
  driver.program(true, AT, 512);
  assert.deepEqual(driver.command(0x46, 0, 5, 0, 1, 2, 8, 0x1b, 0xff), [0, 0, 0, 5, 0, 2, 2]);
  assert.deepEqual(driver.marks(AT, 1), [40]);
});

Deno.test("i82077 an implied seek goes to C first (82077AA, 5.2.7)", () => {
  const driver = ready();
  driver.command(0x13, 0, 0x40, 0);
  driver.program(true, AT, 512);
  assert.deepEqual(driver.command(0x46, 0, 11, 0, 1, 2, 9, 0x1b, 0xff), [0, 0, 0, 11, 0, 2, 2]);
  assert.deepEqual(driver.marks(AT, 1), [11 * 18]);
});

Deno.test("i82077 older SeaBIOS reads a cylinder with no SEEK, CONFIGURE or further SENSE INTERRUPT", () => {
  const driver = new Driver({ sizes: [KIB_720] });
  driver.out(2, 0x08);
  driver.out(2, 0x0c);
  driver.settle();
  assert.deepEqual(driver.command(0x08), [0xc0, 0]);
  driver.out(2, 0x1c);
  driver.command(0x07, 0);
  assert.deepEqual(driver.command(0x08), [0x20, 0]);
  driver.fdc.control.write(0, 1, 2);
  assert.deepEqual(driver.command(0x4a, 0).slice(0, 3), [0, 0, 0]);
  driver.program(true, AT, 512);
  assert.deepEqual(driver.command(0xe6, 4, 20, 1, 3, 2, 3, 0x1b, 0xff).slice(0, 3), [4, 0, 0]);
  assert.deepEqual(driver.marks(AT, 1), [(20 * 18 + 9 + 2) & 0xff]);
});

Deno.test("i82077 READ TRACK reads from the first sector on; ND tells that R was another (82077AA, 5.1.3)", () => {
  const driver = ready();
  driver.program(true, AT, 9 * 512);
  assert.deepEqual(driver.command(0x42, 0, 0, 0, 1, 2, 9, 0x1b, 0xff).slice(0, 3), [0, 0, 0]);
  assert.deepEqual(driver.marks(AT, 9), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  driver.program(true, AT, 9 * 512);
  assert.deepEqual(driver.command(0x42, 0, 0, 0, 5, 2, 4, 0x1b, 0xff).slice(0, 3), [0, 4, 0]);
});

Deno.test("i82077 VERIFY reads without transfer, to EOT or for a count (82077AA, 5.1.6)", () => {
  const driver = ready();
  assert.deepEqual(driver.command(0x56, 0, 0, 0, 1, 2, 9, 0x1b, 0xff), [0, 0, 0, 1, 0, 1, 2]);
  assert.deepEqual(driver.command(0x56, 0x80, 0, 0, 2, 2, 9, 0x1b, 3), [0, 0, 0, 0, 0, 5, 2]);
  const [st0, st1] = driver.command(0x56, 0, 0, 0, 1, 2, 10, 0x1b, 0xff);
  assert.deepEqual([st0, st1], [0x40, 0x04]);
});

Deno.test("i82077 FORMAT TRACK fills the sectors whose IDs the host gives (82077AA, 5.1.7)", () => {
  const driver = ready();
  driver.seek(0, 2);
  const ids = [1, 3, 2].flatMap((r) => [2, 1, r, 2]);
  driver.bench.memory.view(AT, ids.length)!.set(ids);
  driver.program(false, AT, ids.length);
  assert.deepEqual(driver.command(0x4d, 4, 2, 3, 0x50, 0xf6).slice(0, 3), [4, 0, 0]);
  driver.program(true, AT, 4 * 512);
  driver.command(0x46, 4, 2, 1, 1, 2, 9, 0x1b, 0xff);
  assert.deepEqual(driver.marks(AT, 4), [0xf6, 0xf6, 0xf6, 2 * 18 + 9 + 3]);
  driver.bench.memory.view(AT, 4)!.set([2, 1, 10, 2]);
  driver.program(false, AT, 4);
  assert.deepEqual(driver.command(0x4d, 4, 2, 1, 0x50, 0xf6).slice(0, 2), [0x44, 0x04]);
});

Deno.test("i82077 non-DMA mode: the processor reads the FIFO, no TC, so it ends with EN (82077AA, 5.1, 5.2.6)", () => {
  const driver = ready();
  driver.command(0x03, 0xdf, 0x03);
  driver.send(0x46, 0, 0, 0, 8, 2, 9, 0x1b, 0xff);
  assert.equal(driver.msr(), 0x30);
  driver.settle();
  assert.equal(driver.irq.level, true);
  const bytes: number[] = [];
  while (driver.msr() === 0xf0) bytes.push(driver.fdc.registers.read(5, 1));
  assert.equal(bytes.length, 1024);
  assert.deepEqual([bytes[0], bytes[511], bytes[512], bytes[1023]], [7, 7, 8, 8]);
  assert.deepEqual(driver.result(), [0x40, 0x80, 0, 1, 0, 1, 2]);
  assert.equal(driver.irq.level, false);
});

Deno.test("i82077 non-DMA mode: the processor writes the FIFO (82077AA, 5.1.4)", () => {
  const driver = ready();
  driver.command(0x03, 0xdf, 0x03);
  driver.send(0x45, 0, 0, 0, 8, 2, 9, 0x1b, 0xff);
  for (let sector = 0; sector < 2; sector++) {
    assert.equal(driver.msr(), 0xb0);
    for (let i = 0; i < 512; i++) driver.out(5, 0x30 + sector);
    driver.settle();
  }
  assert.deepEqual(driver.result().slice(0, 2), [0x40, 0x80]);
  driver.command(0x03, 0xdf, 0x02);
  driver.program(true, AT, 1024);
  driver.command(0x46, 0, 0, 0, 8, 2, 9, 0x1b, 0xff);
  assert.deepEqual(driver.marks(AT, 2), [0x30, 0x31]);
});

Deno.test("i82077 a channel unmasked late is still served; one that never is gives an overrun (82077AA, 4.4.2)", () => {
  const driver = ready();
  driver.program(true, AT, 512);
  driver.dma.first.write(0xa, 1, 6);
  driver.send(0x46, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
  driver.settle();
  assert.equal(driver.msr(), 0x10);
  assert.equal(driver.dma.first.read(8, 1), 0x40, "DREQ");
  driver.dma.first.write(0xa, 1, 2);
  driver.bench.advance(2e6);
  assert.deepEqual(driver.result(), [0, 0, 0, 1, 0, 1, 2]);
  driver.send(0x46, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
  driver.settle();
  driver.bench.advance(600e6);
  assert.deepEqual(driver.result().slice(0, 2), [0x40, 0x10]);
});

Deno.test("i82077 a bad sector is found by reading its run one at a time (82077AA, 4.4.2)", () => {
  const driver = ready();
  const [port] = driver.ports;
  driver.program(true, AT, 4 * 512);
  driver.send(0x46, 0, 0, 0, 1, 2, 9, 0x1b, 0xff);
  // The medium fails for whatever touches the third sector.
  for (let i = 0; i < 10 && port.posted; i++) {
    const { offset, length } = port.state;
    port.buffer.fill(offset / 512, 0, length);
    const bad = offset <= 1024 && offset + length > 1024;
    port.finish(bad ? BlockResult.ioError : BlockResult.ok);
  }
  driver.settle();
  assert.deepEqual(driver.result(), [0x40, 0x20, 0x20, 0, 0, 3, 2]);
  assert.deepEqual(driver.marks(AT, 3), [0, 1, 0]);
});

Deno.test("i82077 a reset drops the command; the old request's end disturbs nothing after it", () => {
  const driver = ready();
  driver.program(true, AT, 512);
  driver.send(0x46, 0, 0, 0, 5, 2, 9, 0x1b, 0xff);
  driver.out(2, 0);
  driver.out(2, 0x1c);
  driver.bench.advance(1e6);
  assert.deepEqual(driver.ports[0].busy, true, "the medium is slow");
  for (let i = 0; i < 4; i++) {
    driver.send(0x08);
    assert.equal(driver.result()[0], 0xc0 | i);
  }
  driver.send(0x46, 0, 0, 0, 2, 2, 9, 0x1b, 0xff);
  driver.settle();
  assert.deepEqual(driver.result(), [0, 0, 0, 0, 0, 3, 2]);
  assert.deepEqual(driver.marks(AT, 1), [1]);
});

Deno.test("i82077 an image shorter than its format reads as zeros there, and takes no writes", () => {
  // 100 sectors of a 1.44 MiB diskette; sector 100 is C 2, H 1, R 11.
  const driver = ready({ sizes: [51_200] }, 0);
  driver.seek(0, 2);
  driver.bench.memory.view(AT, 2048)!.fill(0xee);
  driver.program(true, AT, 3 * 512);
  const result = driver.command(0x46, 4, 2, 1, 10, 2, 18, 0x1b, 0xff);
  assert.deepEqual(result, [4, 0, 0, 2, 1, 13, 2]);
  assert.deepEqual(driver.marks(AT, 4), [99, 0, 0, 0xee]);
  driver.program(false, AT, 512);
  assert.deepEqual(driver.command(0x45, 4, 2, 1, 11, 2, 18, 0x1b, 0xff).slice(0, 2), [0x44, 4]);
  driver.program(true, AT, 512);
  assert.deepEqual(driver.command(0x46, 4, 2, 1, 18, 2, 18, 0x1b, 0xff).slice(0, 2), [4, 0]);
});
