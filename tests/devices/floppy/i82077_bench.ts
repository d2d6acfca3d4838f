/** A floppy controller on the bench, and a small driver for it, as the tests need them. */

import assert from "node:assert/strict";
import type { BlockPort } from "../../../hv/core/media/block.ts";
import { I82077, I82077State } from "../../../devices/floppy/i82077.ts";
import { type FloppyDriveType, floppyDriveType } from "../../../hv/core/media/floppy_formats.ts";
import { I8237, I8237State } from "../../../devices/system/i8237.ts";
import { type ProbeLine, TestBench } from "../../support/test_bench.ts";

/** What is in the drives: bytes of the images; 0: an empty drive; undefined: no drive. */
export interface Setup {
  readonly sizes?: readonly (number | undefined)[];
  readonly types?: readonly FloppyDriveType[];
  readonly readOnly?: boolean;
  readonly ps2?: boolean;
}

/** Wires a controller up as a PC does. */
export function wire(bench: TestBench, { sizes = [163_840], types, readOnly, ps2 }: Setup = {}) {
  const dma = new I8237({
    state: bench.state(I8237State),
    memory: bench.memory,
    lock: bench.arena.lock("dma"),
  });
  const irq = bench.irq();
  const drives = sizes.map((size, i) => {
    if (size === undefined) return undefined;
    const port = bench.disk(`floppy${i}`, size || 512, readOnly);
    return { port, type: types?.[i] ?? floppyDriveType(size) };
  });
  const fdc = new I82077({
    state: bench.state(I82077State),
    clock: bench.clock,
    timer: bench.timer("fdc"),
    irq,
    dma: dma.channel(2),
    drives,
    ps2,
  });
  return { fdc, dma, irq, ports: drives.map((drive) => drive?.port) as BlockPort[] };
}

/** A driver that polls the main status register, as the data sheet's flow charts do. */
export class Driver {
  readonly bench: TestBench = new TestBench();
  readonly fdc: I82077;
  readonly dma: I8237;
  readonly irq: ProbeLine;
  readonly ports: BlockPort[];

  /** A controller after power-on; `reset` before anything else. */
  constructor(setup?: Setup) {
    const { fdc, dma, irq, ports } = wire(this.bench, setup);
    this.fdc = fdc;
    this.dma = dma;
    this.irq = irq;
    this.ports = ports;
    for (const [i, port] of ports.entries()) {
      if (setup?.sizes?.[i] === 0) port.setMedium(undefined);
    }
    dma.reset();
    fdc.reset();
  }

  msr(): number {
    return this.fdc.registers.read(4, 1);
  }

  out(offset: number, value: number): void {
    this.fdc.registers.write(offset, 1, value);
  }

  /** Lets the timer and the media do their part. */
  settle(): void {
    for (let i = 0; i < 20; i++) {
      this.bench.settle();
      this.bench.advance(60_000);
    }
  }

  /** Ends the reset with motors and DMA gate on, takes the polling interrupt, sets the data rate. */
  reset(rate = 2): void {
    this.out(2, 0);
    this.out(2, 0x3c);
    this.settle();
    assert.equal(this.irq.level, true, "no interrupt after the reset");
    for (let i = 0; i < 4; i++) assert.deepEqual(this.command(0x08), [0xc0 | i, 0]);
    this.fdc.control.write(0, 1, rate);
  }

  /** Sends a command, byte by byte. */
  send(...bytes: number[]): void {
    for (const byte of bytes) {
      assert.equal(this.msr() & 0xc0, 0x80, "the controller wants no byte");
      this.out(5, byte);
    }
  }

  /** The bytes of the result phase; none when there is no such phase. */
  result(): number[] {
    const bytes: number[] = [];
    while ((this.msr() & 0xd0) === 0xd0) bytes.push(this.fdc.registers.read(5, 1));
    return bytes;
  }

  /** A command with everything that follows from it. */
  command(...bytes: number[]): number[] {
    this.send(...bytes);
    this.settle();
    return this.result();
  }

  /** Seeks and takes the interrupt. */
  seek(drive: number, cylinder: number): void {
    this.command(0x0f, drive, cylinder);
    assert.deepEqual(this.command(0x08), [0x20 | drive, cylinder]);
  }

  /** Programs channel 2: `toMemory`, or from it. */
  program(toMemory: boolean, address: number, length: number): void {
    const { first, pages } = this.dma;
    first.write(0xa, 1, 6);
    first.write(0xc, 1, 0);
    first.write(0xb, 1, toMemory ? 0x46 : 0x4a);
    first.write(4, 1, address & 0xff);
    first.write(4, 1, (address >> 8) & 0xff);
    pages.write(1, 1, address >> 16);
    first.write(5, 1, (length - 1) & 0xff);
    first.write(5, 1, (length - 1) >> 8);
    first.write(0xa, 1, 2);
  }

  /** What the sectors of `count` sectors at guest address `address` begin with. */
  marks(address: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.bench.memory.readU8(address + i * 512));
  }
}
