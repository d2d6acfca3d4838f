import assert from "node:assert/strict";
import { AtaDisk, AtaDiskState } from "../../../devices/ata/ata_disk.ts";
import { TestBench } from "../../support/test_bench.ts";
import { BSY, diskHost, DRQ, ERROR, IdeHost, IDENTITY, READY } from "./ide_bench.ts";

function twoDisks(): IdeHost {
  const bench = new TestBench();
  const disk = (n: number) =>
    new AtaDisk(bench.state(AtaDiskState, `disk${n}`), bench.disk(`d${n}`, 64 * 512), IDENTITY);
  const host = new IdeHost(bench, [disk(0), disk(1)]);
  host.reset();
  return host;
}
const DEV1 = 0x50;

Deno.test("IDE power-on shows the signature of a disk (ATA-6, 9.12)", () => {
  const host = diskHost();
  assert.deepEqual(host.registers, [1, 1, 1, 0, 0, 0xa0]);
  host.expect(READY, { interrupt: false });
});

Deno.test("IDE SRST keeps both drives busy until it is released (ATA-6, 9.2)", () => {
  const host = twoDisks();
  host.out(6, DEV1);
  host.control(0x04);
  assert.equal(host.altStatus, BSY);
  host.out(7, 0xec);
  host.control(0x00);
  host.expect(READY, { interrupt: false });
  assert.deepEqual(host.registers, [1, 1, 1, 0, 0, 0xa0], "drive 0 is selected");
  host.out(6, 0x10);
  assert.deepEqual(host.registers, [1, 1, 1, 0, 0, 0xb0]);
});

Deno.test("IDE SRST waits for a request that is with the medium (ATA-6, 9.2)", () => {
  const host = diskHost();
  host.command(0x20, { lba: 3, count: 1 });
  host.control(0x04);
  host.control(0x00);
  assert.equal(host.altStatus, BSY);
  host.bench.settle();
  host.expect(READY, { interrupt: false });
  host.command(0x20, { lba: 4, count: 1 });
  host.control(0x04);
  host.bench.settle();
  assert.equal(host.altStatus, BSY, "the request has ended, SRST has not");
  host.control(0x00);
  host.expect(READY, { interrupt: false });
  assert.equal(host.in(0, 2), 0, "no data are left over");
});

Deno.test("IDE nIEN holds the interrupt back until it is cleared (ATA-6, 7.5)", () => {
  const host = diskHost();
  host.control(0x02);
  host.command(0xe5);
  assert.equal(host.irq.level, false);
  host.control(0x00);
  host.expect(READY, { interrupt: true });
});

Deno.test("IDE Alternate Status leaves the interrupt, a new command takes it back (ATA-6, 7.3)", () => {
  const host = diskHost();
  host.command(0xe5);
  assert.equal(host.altStatus, READY);
  assert.ok(host.irq.level);
  host.command(0x20, { count: 1 });
  assert.ok(!host.irq.level);
});

Deno.test("IDE selecting the other drive lets the line go and back (ATA-6, 5.2.9)", () => {
  const host = twoDisks();
  host.command(0xe5, { device: DEV1 });
  assert.ok(host.irq.level);
  host.out(6, 0x40);
  assert.ok(!host.irq.level);
  host.out(6, DEV1);
  assert.ok(host.irq.level);
  assert.equal(host.irq.raised, 2);
});

Deno.test("IDE writes reach both drives, commands the selected one (ATA-6, 7.2)", () => {
  const host = twoDisks();
  host.command(0xef, { features: 3, count: 0x22, device: DEV1 });
  host.out(6, 0x40);
  assert.equal(host.in(2), 0x22);
  host.command(0xec);
  assert.equal(host.read(512)[127], 0, "drive 0 has not changed its mode");
  host.command(0xec, { device: DEV1 });
  assert.equal(host.read(512)[127], 4);
});

Deno.test("IDE ignores registers and commands while a drive is busy or has data (ATA-6, 7.2)", () => {
  const host = twoDisks();
  host.command(0x20, { lba: 1, count: 1 });
  host.out(6, DEV1);
  host.out(2, 77);
  host.out(7, 0xec);
  host.bench.settle();
  host.expect(DRQ, { interrupt: true });
  host.out(7, 0xec);
  assert.deepEqual(host.registers.slice(1), [1, 1, 0, 0, 0xe0]);
  assert.equal(host.read(512)[0], 1);
  host.out(2, 77);
  assert.equal(host.in(2), 77);
});

Deno.test("IDE EXECUTE DEVICE DIAGNOSTIC runs on both and drive 0 reports (ATA-6, 9.11)", () => {
  const host = twoDisks();
  host.command(0x90, { lba: 0x123456, count: 9, device: DEV1 });
  host.expect(READY, { interrupt: true });
  assert.deepEqual(host.registers, [1, 1, 1, 0, 0, 0xa0]);
});

Deno.test("IDE an absent drive 1 shows Status 00h and no signature (ATA-6, 9.16.1)", () => {
  const host = diskHost();
  host.out(6, 0x10);
  host.out(2, 0x55);
  host.out(3, 0xaa);
  assert.deepEqual(host.registers.slice(1, 3), [0x55, 0xaa]);
  assert.equal(host.registers[5], 0xb0);
  host.out(7, 0xec);
  host.expect(0, { interrupt: false });
  host.control(4);
  host.control(0);
  host.out(6, 0x10);
  assert.deepEqual(host.registers, [0, 1, 1, 0xff, 0xff, 0xb0]);
});

Deno.test("IDE an absent drive 0 neither answers nor hangs a probe (ATA-6, 9.16.2)", () => {
  const bench = new TestBench();
  const disk = new AtaDisk(bench.state(AtaDiskState), bench.disk("d", 64 * 512), IDENTITY);
  const host = new IdeHost(bench, [undefined, disk]);
  host.reset();
  host.command(0xec);
  host.expect(0, { interrupt: false });
  host.command(0xec, { device: DEV1 });
  host.expect(DRQ, { interrupt: true });
});

Deno.test("IDE an empty cable reads 7Fh, for DD7 is pulled down (ATA-6, 9.16)", () => {
  const host = new IdeHost(new TestBench(), [undefined, undefined]);
  host.reset();
  host.control(4);
  host.control(0);
  host.command(0x90);
  assert.deepEqual([...host.registers, host.altStatus], [127, 127, 127, 127, 127, 127, 127]);
  assert.equal(host.in(0, 2), 0xff7f);
  assert.ok(!host.irq.level);
});

Deno.test("IDE wide accesses beside the data register are bytes, one after the other", () => {
  const host = diskHost();
  host.out(2, 0x0403_0201, 4);
  assert.equal(host.in(2, 4), 0x0403_0201);
  host.out(6, 0xec40, 2);
  host.expect(DRQ, { interrupt: true });
  host.command(0x00);
  assert.notEqual(host.in(7), ERROR, "a command within a DRQ block is ignored");
});
