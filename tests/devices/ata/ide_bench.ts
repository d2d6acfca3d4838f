/** An IDE controller on a bench, and the sequences by which a host works it. */

import assert from "node:assert/strict";
import { AtaDisk, AtaDiskState } from "../../../devices/ata/ata_disk.ts";
import { IdeBusMaster, IdeBusMasterState } from "../../../devices/ata/ide_bus_master.ts";
import { IdeChannel, IdeChannelState } from "../../../devices/ata/ide_channel.ts";
import type { IdeDrive } from "../../../devices/ata/ide_drive.ts";
import type { BlockPort } from "../../../hv/core/media/block.ts";
import { type ProbeLine, TestBench } from "../../support/test_bench.ts";

export const IDENTITY = { model: "HV HARDDISK", serial: "HV00001", firmware: "1.0" };
export const BSY = 0x80;
export const READY = 0x50;
export const DRQ = 0x58;
export const ERROR = 0x51;

/** A host at one channel. */
export class IdeHost {
  readonly bench: TestBench;
  readonly channel: IdeChannel;
  readonly irq: ProbeLine;
  readonly master: IdeBusMaster;

  constructor(bench: TestBench, drives: [IdeDrive | undefined, IdeDrive | undefined]) {
    this.bench = bench;
    this.irq = bench.irq("irq14");
    this.channel = new IdeChannel(bench.state(IdeChannelState, "ide0"), { irq: this.irq, drives });
    const other = new IdeChannel(bench.state(IdeChannelState, "ide1"), {
      irq: bench.irq("irq15"),
      drives: [undefined, undefined],
    });
    const state = bench.state(IdeBusMasterState);
    this.master = new IdeBusMaster(state, bench.memory, [this.channel, other]);
  }

  reset(): void {
    this.channel.reset();
    this.master.reset();
  }

  in(offset: number, size = 1): number {
    return this.channel.commandBlock.read(offset, size);
  }

  out(offset: number, value: number, size = 1): void {
    this.channel.commandBlock.write(offset, size, value);
  }

  get altStatus(): number {
    return this.channel.controlBlock.read(0, 1);
  }

  control(value: number): void {
    this.channel.controlBlock.write(0, 1, value);
  }

  /** Error, Sector Count, LBA Low, Mid, High and Device. */
  get registers(): number[] {
    return [1, 2, 3, 4, 5, 6].map((offset) => this.in(offset));
  }

  /** Writes a command of 28 bits, or of cylinder, head and sector, and its registers. */
  command(opcode: number, parameters: Parameters<IdeHost["write28"]>[0] = {}): void {
    this.write28(parameters);
    this.out(7, opcode);
  }

  write28(
    { features = 0, count = 0, lba = 0, device = 0x40 }: {
      features?: number;
      count?: number;
      lba?: number;
      device?: number;
    },
  ): void {
    this.out(6, device | ((lba >>> 24) & 15));
    this.out(1, features);
    this.out(2, count);
    this.out(3, lba & 0xff);
    this.out(4, (lba >> 8) & 0xff);
    this.out(5, (lba >> 16) & 0xff);
  }

  /** Writes a command of 48 bits. */
  command48(opcode: number, lba: number, count: number): void {
    const byte = (n: number) => Math.floor(lba / 2 ** (8 * n)) & 0xff;
    this.out(6, 0x40);
    for (
      const [offset, high, low] of [
        [2, count >> 8, count & 0xff],
        [3, byte(3), byte(0)],
        [4, byte(4), byte(1)],
        [5, byte(5), byte(2)],
      ]
    ) {
      this.out(offset, high);
      this.out(offset, low);
    }
    this.out(7, opcode);
  }

  /** Reads `bytes` through the data register, as `insw` does. */
  read(bytes: number, size = 2): Uint8Array {
    const data = new Uint8Array(bytes + 4);
    const view = new DataView(data.buffer);
    for (let i = 0; i < bytes; i += size) {
      const value = this.in(0, size);
      for (let n = 0; n < size; n++) view.setUint8(i + n, value >>> (n * 8));
    }
    return data.subarray(0, bytes);
  }

  write(data: Uint8Array, size = 2): void {
    for (let i = 0; i < data.length; i += size) {
      let value = 0;
      for (let n = 0; n < size; n++) value += data[i + n] * 2 ** (n * 8);
      this.out(0, value, size);
    }
  }

  /** Puts a PRD table at `table`, and points the bus master at it. */
  prds(table: number, entries: [address: number, count: number][]): void {
    const { memory } = this.bench;
    entries.forEach(([address, count], i) => {
      memory.writeU32(table + i * 8, address);
      memory.writeU32(table + i * 8 + 4, (i === entries.length - 1 ? 0x8000_0000 : 0) + count);
    });
    this.master.write(4, 4, table);
  }

  /** Status, which must be `expected`, and its interrupt, which must wait or not. */
  expect(expected: number, { interrupt }: { interrupt: boolean }): void {
    assert.equal(this.irq.level, interrupt, `interrupt line`);
    const status = this.in(7);
    assert.equal(status, expected, `status ${status.toString(16)}h, not ${expected.toString(16)}h`);
    assert.equal(this.irq.level, false, "reading Status takes the interrupt back");
  }
}

/** A host with one disk as drive 0. */
export function diskHost(
  sectors = 128,
  { bench = new TestBench(), readOnly = false } = {},
): IdeHost & { port: BlockPort } {
  const port = bench.disk("disk", sectors * 512, readOnly);
  const disk = new AtaDisk(bench.state(AtaDiskState), port, IDENTITY);
  const host = new IdeHost(bench, [disk, undefined]);
  host.reset();
  return Object.assign(host, { port });
}

/** `sectors` sectors of the bench's disk from `first`. */
export function pattern(first: number, sectors: number): Uint8Array {
  return Uint8Array.from({ length: sectors * 512 }, (_, i) => first + (i >> 9));
}

/** Word `n` of an IDENTIFY answer. */
export const word = (data: Uint8Array, n: number): number => data[n * 2] | (data[n * 2 + 1] << 8);
