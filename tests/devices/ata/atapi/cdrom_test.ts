import assert from "node:assert/strict";
import { AtapiCdrom, AtapiCdromState } from "../../../../devices/ata/atapi/cdrom.ts";
import { BlockResult } from "../../../../hv/core/media/block.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { BSY, DRQ, ERROR, IdeHost, IDENTITY, READY, word } from "../ide_bench.ts";

const SECTORS = 100;

/** A host with one CD-ROM drive, as drive 0, with a disc of 100 sectors. */
class CdHost extends IdeHost {
  readonly cdrom: AtapiCdrom;
  readonly port: ReturnType<TestBench["disk"]>;

  constructor() {
    const bench = new TestBench();
    const port = bench.disk("cd", SECTORS * 2048, true);
    const cdrom = new AtapiCdrom(bench.state(AtapiCdromState), port, IDENTITY);
    super(bench, [cdrom, undefined]);
    this.port = port;
    this.cdrom = cdrom;
    this.reset();
  }

  /** Sends a packet, zeros filled up, with the byte count limit `limit`. */
  packet(bytes: number[], { limit = 0xfffe, features = 0 } = {}): void {
    this.out(6, 0);
    this.out(1, features);
    this.out(4, limit & 0xff);
    this.out(5, limit >> 8);
    this.out(7, 0xa0);
    this.expect(DRQ, { interrupt: false });
    assert.equal(this.in(2), 0x01, "command, from the host");
    this.write(Uint8Array.from({ length: 12 }, (_, i) => bytes[i] ?? 0));
  }

  /** The DRQ block that waits, whole. */
  block(): Uint8Array {
    assert.equal(this.in(2), 0x02, "data, to the host");
    const length = this.in(4) | (this.in(5) << 8);
    this.expect(DRQ, { interrupt: true });
    return this.read(length).subarray(0, length);
  }

  /** A command that answers in one block and ends well. */
  ask(bytes: number[]): number[] {
    this.packet(bytes);
    const data = this.block();
    this.ends();
    return [...data];
  }

  /** The command in the packet has ended well. */
  ends(): void {
    assert.equal(this.in(2), 0x03, "status, to the host");
    this.expect(READY, { interrupt: true });
  }

  /** The command has ended with the sense key and codes `expected`. */
  fails(...expected: [key: number, asc: number, ascq: number]): void {
    assert.equal(this.in(2), 0x03);
    assert.equal(this.in(1), expected[0] << 4);
    this.expect(ERROR, { interrupt: true });
    const sense = this.ask([0x03, 0, 0, 0, 18]);
    assert.deepEqual([sense[0], sense[2], sense[12], sense[13]], [0x70, ...expected]);
  }
}

/** What the bench's disk has in sector `lba` of 2048 bytes. */
const sector = (lba: number) => Uint8Array.from({ length: 2048 }, (_, i) => lba * 4 + (i >> 9));

Deno.test("ATAPI shows the signature 14h EBh and no DRDY after a reset (ATA-6, 9.12)", () => {
  const host = new CdHost();
  assert.deepEqual(host.registers, [1, 1, 1, 0x14, 0xeb, 0xa0]);
  host.expect(0, { interrupt: false });
  for (const opcode of [0xec, 0x20]) {
    host.out(4, 0);
    host.out(7, opcode);
    host.expect(ERROR, { interrupt: true });
    assert.deepEqual(host.registers, [4, 1, 1, 0x14, 0xeb, 0xa0]);
  }
});

Deno.test("ATAPI IDENTIFY PACKET DEVICE is a removable CD-ROM with DMA (ATA-6, 8.16)", () => {
  const host = new CdHost();
  host.out(7, 0xa1);
  host.expect(DRQ, { interrupt: true });
  const data = host.read(512);
  assert.equal(word(data, 0), 0x85c0);
  assert.equal(word(data, 49) & 0x0300, 0x0300);
  assert.equal(data.reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  host.expect(READY, { interrupt: false });
});

Deno.test("ATAPI INQUIRY is cut to the allocation length (SPC-3, 6.4)", () => {
  const host = new CdHost();
  const data = host.ask([0x12, 0, 0, 0, 36]);
  assert.deepEqual(data.slice(0, 5), [0x05, 0x80, 0, 0x21, 31]);
  assert.equal(String.fromCharCode(...data.slice(8)), "HV      HV HARDDISK     1.0 ");
  assert.deepEqual(host.ask([0x12, 0, 0, 0, 5]), data.slice(0, 5));
  host.packet([0x12, 0, 0, 0, 0]);
  host.ends();
  host.packet([0x12, 1, 0x80, 0, 36]);
  host.fails(5, 0x24, 0);
});

Deno.test("ATAPI READ(10) moves whole sectors, as many a block as the limit lets (MMC-4, 6.22)", () => {
  const host = new CdHost();
  host.packet([0x28, 0, 0, 0, 0, 7, 0, 0, 3], { limit: 5000 });
  host.expect(BSY | READY, { interrupt: false });
  host.bench.settle();
  const first = host.block();
  assert.deepEqual(first, Uint8Array.from([...sector(7), ...sector(8)]));
  assert.deepEqual(host.block(), sector(9));
  host.ends();
});

Deno.test("ATAPI READ(12) honours a limit below a sector, and reads in chunks (MMC-4, 6.23)", () => {
  const host = new CdHost();
  host.packet([0xa8, 0, 0, 0, 0, 2, 0, 0, 0, 70], { limit: 1001 });
  const data: number[] = [];
  while (data.length < 70 * 2048) {
    host.bench.settle();
    const block = host.block();
    assert.ok(block.length <= 1000);
    data.push(...block);
  }
  host.ends();
  for (let i = 0; i < 70; i++) {
    assert.deepEqual(Uint8Array.from(data.slice(i * 2048, (i + 1) * 2048)), sector(i + 2));
  }
});

Deno.test("ATAPI data of a packet may move by DMA (ATA-6, 9.10)", () => {
  const host = new CdHost();
  host.prds(0x1000, [[0x10000, 0], [0x20000, 0], [0x30000, 6 * 2048]]);
  host.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 70], { features: 1, limit: 0 });
  host.master.write(0, 1, 9);
  host.bench.settle();
  assert.equal(host.master.read(2, 1), 0x04);
  host.ends();
  assert.deepEqual(host.bench.memory.view(0x10000 + 33 * 2048, 2048), sector(33));
  assert.deepEqual(host.bench.memory.view(0x30000 + 5 * 2048, 2048), sector(69));
});

Deno.test("ATAPI a read past the end, or of nothing (MMC-4, 6.22)", () => {
  const host = new CdHost();
  host.packet([0x28, 0, 0, 0, 0, 99, 0, 0, 2]);
  host.fails(5, 0x21, 0);
  host.packet([0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  host.fails(5, 0x21, 0);
  host.packet([0x28, 0, 0, 0, 0, 99, 0, 0, 0]);
  host.ends();
});

Deno.test("ATAPI a byte count limit of 0 aborts a command with data (ATA-6, 8.23.4)", () => {
  const host = new CdHost();
  host.packet([0x12, 0, 0, 0, 36], { limit: 0 });
  assert.equal(host.in(1), 0x04);
  host.expect(ERROR, { interrupt: true });
  host.packet([0x00], { limit: 0 });
  host.ends();
});

Deno.test("ATAPI READ CD gives user data or raw sectors (MMC-4, 6.24)", () => {
  const host = new CdHost();
  host.packet([0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0x10]);
  host.bench.settle();
  assert.deepEqual(host.block(), sector(5));
  host.ends();
  host.packet([0xbe, 0, 0, 0, 0, 5, 0, 0, 2, 0xf8]);
  host.bench.settle();
  const raw = host.block();
  assert.equal(raw.length, 2 * 2352);
  const second = raw.subarray(2352);
  assert.deepEqual([...second.subarray(0, 2), ...second.subarray(10, 12)], [0, 255, 255, 0]);
  assert.deepEqual([...second.subarray(12, 16)], [0x00, 0x02, 0x06, 1], "BCD address, mode 1");
  assert.deepEqual(second.subarray(16, 16 + 2048), sector(6));
  host.ends();
  host.packet([0xbe, 4, 0, 0, 0, 5, 0, 0, 1, 0x10]);
  host.fails(5, 0x64, 0);
  host.packet([0xb9, 0, 0, 0, 2, 5, 0, 2, 6, 0x10]);
  host.bench.settle();
  assert.deepEqual(host.block(), sector(5));
  host.ends();
  host.packet([0xb9, 0, 0, 0, 1, 5, 0, 2, 6, 0x10]);
  host.fails(5, 0x21, 0);
});

Deno.test("ATAPI READ CAPACITY and READ TOC tell of one data track (MMC-4, 6.28 and 6.30)", () => {
  const host = new CdHost();
  assert.deepEqual(host.ask([0x25]), [0, 0, 0, 99, 0, 0, 8, 0]);
  const track = [0, 0x14, 1, 0, 0, 0, 0, 0];
  const leadOut = [0, 0x14, 0xaa, 0, 0, 0, 0, 100];
  assert.deepEqual(host.ask([0x43, 0, 0, 0, 0, 0, 0, 0, 99]), [0, 18, 1, 1, ...track, ...leadOut]);
  assert.deepEqual(host.ask([0x43, 2, 0, 0, 0, 0, 0xaa, 0, 99]), [
    ...[0, 10, 1, 1, 0, 0x14, 0xaa, 0],
    ...[0, 0, 3, 25],
  ]);
  assert.deepEqual(host.ask([0x43, 0, 1, 0, 0, 0, 0, 0, 99]), [0, 10, 1, 1, ...track]);
  // The same in the form of SFF-8020i.
  assert.deepEqual(host.ask([0x43, 0, 0, 0, 0, 0, 0, 0, 99, 0x40]), [0, 10, 1, 1, ...track]);
  const raw = host.ask([0x43, 2, 2, 0, 0, 0, 1, 0, 99]);
  assert.deepEqual(raw.slice(0, 4), [0, 46, 1, 1]);
  assert.deepEqual(raw.slice(4 + 22, 4 + 33), [1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 3, 25]);
  host.packet([0x43, 0, 0, 0, 0, 0, 2, 0, 99]);
  host.fails(5, 0x24, 0);
  host.packet([0x43, 0, 5, 0, 0, 0, 0, 0, 99]);
  host.fails(5, 0x24, 0);
});

Deno.test("ATAPI GET CONFIGURATION names the profile of the medium (MMC-4, 6.6)", () => {
  const host = new CdHost();
  const all = host.ask([0x46, 0, 0, 0, 0, 0, 0, 1, 0]);
  assert.equal(all.length - 4, (all[2] << 8) | all[3]);
  assert.deepEqual(all.slice(6, 8), [0, 8], "CD-ROM");
  const codes: number[] = [];
  for (let at = 8; at < all.length; at += 4 + all[at + 3]) codes.push((all[at] << 8) | all[at + 1]);
  assert.deepEqual(codes, [0x00, 0x01, 0x03, 0x10, 0x1e, 0x1f, 0x100, 0x105]);
  const one = host.ask([0x46, 2, 0, 0x10, 0, 0, 0, 1, 0]);
  assert.deepEqual(one.slice(8), [0, 0x10, 1, 8, 0, 0, 8, 0, 0, 1, 0, 0]);
  host.cdrom.pressEject();
  assert.deepEqual(host.ask([0x46, 1, 0, 0, 0, 0, 0, 0, 8]).slice(6), [0, 0], "no medium");
});

Deno.test("ATAPI MODE SENSE gives pages after a header of 4 or 8 bytes (SPC-3, 7.4)", () => {
  const host = new CdHost();
  const page = host.ask([0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0]);
  assert.deepEqual(page.slice(0, 10), [
    0,
    page.length - 2,
    1,
    0,
    0,
    0,
    0,
    0,
    0x2a,
    page.length - 10,
  ]);
  assert.equal(page[8 + 6], 0x29, "a tray, not locked");
  const short = host.ask([0x1a, 0, 0x01, 0, 0xff]);
  assert.deepEqual(short, [11, 1, 0, 0, 1, 6, 0, 5, 0, 0, 0, 0]);
  const changeable = host.ask([0x5a, 0, 0x6a, 0, 0, 0, 0, 1, 0]);
  assert.ok(changeable.slice(10).every((byte) => byte === 0));
  host.packet([0x5a, 0, 0x07, 0, 0, 0, 0, 1, 0]);
  host.fails(5, 0x24, 0);
  host.packet([0x5a, 0, 0xc1, 0, 0, 0, 0, 1, 0]);
  host.fails(5, 0x39, 0);
});

Deno.test("ATAPI a new medium is told once: attention, then ready (MMC-4, 4.1.6)", () => {
  const host = new CdHost();
  host.port.setMedium(undefined);
  host.packet([0x00]);
  host.fails(2, 0x3a, 1);
  host.port.setMedium({ sizeBytes: 50 * 2048, readOnly: true });
  assert.deepEqual(host.ask([0x12, 0, 0, 0, 1]), [5], "INQUIRY goes through");
  host.packet([0x00]);
  host.fails(6, 0x28, 0);
  host.packet([0x00]);
  host.ends();
  assert.equal(host.ask([0x25])[3], 49);
  assert.deepEqual(host.ask([0x03, 0, 0, 0, 18]).slice(2, 3), [0], "no sense is left");
});

Deno.test("ATAPI GET EVENT STATUS NOTIFICATION reports each media event once (MMC-4, 6.7)", () => {
  const host = new CdHost();
  const poll = () => host.ask([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8]);
  assert.deepEqual(poll(), [0, 4, 4, 0x10, 0, 2, 0, 0]);
  host.port.setMedium(undefined);
  assert.deepEqual(poll(), [0, 4, 4, 0x10, 3, 0, 0, 0]);
  assert.deepEqual(poll(), [0, 4, 4, 0x10, 0, 0, 0, 0]);
  host.port.setMedium({ sizeBytes: 2048, readOnly: true });
  assert.deepEqual(poll(), [0, 4, 4, 0x10, 2, 2, 0, 0]);
  assert.deepEqual(host.ask([0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8]), [0, 0, 0x80, 0x10]);
  host.packet([0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8]);
  host.fails(5, 0x24, 0);
});

Deno.test("ATAPI START STOP UNIT opens and loads; PREVENT forbids it (MMC-4, 6.41)", () => {
  const host = new CdHost();
  host.packet([0x1e, 0, 0, 0, 1]);
  host.ends();
  host.packet([0x1b, 0, 0, 0, 2]);
  host.fails(5, 0x53, 2);
  assert.equal(host.cdrom.pressEject(), false);
  assert.equal(host.ask([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8])[4], 1, "somebody pressed the button");
  host.packet([0x1e, 0, 0, 0, 0]);
  host.ends();
  host.packet([0x1b, 0, 0, 0, 2]);
  host.ends();
  host.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 1]);
  host.fails(2, 0x3a, 2);
  assert.deepEqual(host.ask([0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8]).slice(0, 2), [0, 0x10]);
  host.packet([0x1b, 0, 0, 0, 3]);
  host.ends();
  host.packet([0x00]);
  host.fails(6, 0x28, 0);
  host.packet([0x00]);
  host.ends();
});

Deno.test("ATAPI medium errors and a medium that goes while it is read (MMC-4, 6.22)", () => {
  const host = new CdHost();
  host.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 1]);
  host.port.finish(BlockResult.ioError);
  host.fails(3, 0x11, 0);
  host.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 70]);
  host.port.finish(BlockResult.ioError);
  host.fails(3, 0x11, 0);
  host.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 1]);
  host.port.setMedium(undefined);
  host.bench.settle();
  host.fails(2, 0x3a, 1);
});

Deno.test("ATAPI DEVICE RESET ends a command under way, without an interrupt (ATA-6, 8.10)", () => {
  const host = new CdHost();
  host.packet([0x28, 0, 0, 0, 0, 0, 0, 0, 1]);
  host.out(7, 0x08);
  assert.equal(host.altStatus, BSY, "until the medium has answered");
  host.bench.settle();
  host.expect(0, { interrupt: false });
  assert.deepEqual(host.registers, [1, 1, 1, 0x14, 0xeb, 0xa0]);
  host.packet([0x28, 0, 0, 0, 0, 4, 0, 0, 1]);
  host.bench.settle();
  assert.deepEqual(host.block(), sector(4));
});

Deno.test("ATAPI unknown packets and commands are refused, others do nothing well", () => {
  const host = new CdHost();
  for (const opcode of [0x0a, 0x2a, 0x55, 0xad, 0xff]) {
    host.packet([opcode]);
    host.fails(5, 0x20, 0);
  }
  for (const opcode of [0xbb, 0x4e, 0x2b]) {
    host.packet([opcode]);
    host.ends();
  }
  for (const opcode of [0x00, 0x30, 0xc8, 0xe7, 0xf5]) {
    host.out(7, opcode);
    host.expect(ERROR, { interrupt: true });
  }
  host.out(1, 2);
  host.out(7, 0xa0);
  host.expect(ERROR, { interrupt: true });
});

Deno.test("ATAPI READ DISC INFORMATION and READ SUB-CHANNEL (MMC-4, 6.26 and 6.29)", () => {
  const host = new CdHost();
  assert.deepEqual(host.ask([0x51, 0, 0, 0, 0, 0, 0, 0, 8]), [0, 32, 0x0e, 1, 1, 1, 1, 0x20]);
  assert.deepEqual(host.ask([0x42, 2, 0, 1, 0, 0, 0, 0, 16]), [0, 0x15, 0, 0]);
  assert.equal(host.ask([0x42, 2, 0x40, 1, 0, 0, 0, 0, 32]).length, 16);
  host.packet([0x42, 2, 0x40, 9, 0, 0, 0, 0, 32]);
  host.fails(5, 0x24, 0);
});
