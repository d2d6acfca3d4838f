import assert from "node:assert/strict";
import type { IoHandler } from "../../../hv/core/bus/device.ts";
import type { AddressRange } from "../../../hv/core/memory/address_range.ts";
import {
  PciFunction,
  type PciFunctionOptions,
  PciFunctionState,
} from "../../../devices/pci/pci_function.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { configPort, pciBus } from "./support.ts";

const identity = { vendor: 0x1af4, device: 0x1041, revision: 1, classCode: 0x02_00_00 };
const COMMAND = 0x04;

/** Answers with its offset, and counts writes. */
class Echo implements IoHandler {
  writes: number[] = [];
  read = (offset: number) => offset;
  write = (_offset: number, _size: number, value: number) => void this.writes.push(value);
}

function functionOn(bench: TestBench, options: Partial<PciFunctionOptions> = {}) {
  const pci = new PciFunction(bench.state(PciFunctionState), { identity, ...options });
  pci.reset();
  return pci;
}

deviceContract("pci function", (bench) => {
  const line = bench.irq("pin");
  const device = new PciFunction(bench.state(PciFunctionState), {
    identity: { ...identity, pin: 1 },
    pin: { update: (level) => line.set(level()) },
    bars: [
      { name: "ports", index: 0, kind: "io", size: 32 },
      { name: "registers", index: 1, kind: "mem32", size: 4096 },
      { name: "memory", index: 4, kind: "mem64", size: 2 ** 33, prefetchable: true },
      { name: "rom", index: 6, kind: "rom", size: 65536 },
    ],
    capabilities: [{ id: 9, offset: 0x40, registers: [] }],
  });
  return {
    device,
    ports: [configPort(device)],
    events: [(random) => device.setInterrupt(random.chance(50))],
    likely: [{ port: 0, offset: COMMAND, size: 2, values: [0, 7, 0x407] }],
  };
});

Deno.test("a PCI header shows identity, and ignores writes to it (PCI 3.0, 6.2.1)", () => {
  const pci = functionOn(new TestBench(), {
    identity: { ...identity, subsystemVendor: 0x1af4, subsystem: 0x1100, multifunction: true },
  });
  for (let offset = 0; offset < 4; offset++) pci.configWrite(offset, 1, 0x55);
  pci.configWrite(0x0e, 1, 0);
  assert.equal(pci.configRead(0x00, 4), 0x1041_1af4);
  assert.equal(pci.configRead(0x08, 4), 0x0200_0001);
  assert.equal(pci.configRead(0x2c, 4), 0x1100_1af4);
  assert.equal(pci.configRead(0x0e, 1), 0x80);
});

Deno.test("the PCI command register has reserved bits that stay 0 (PCI 3.0, 6.2.2)", () => {
  const pci = functionOn(new TestBench());
  pci.configWrite(COMMAND, 2, 0xffff);
  assert.equal(pci.configRead(COMMAND, 2), 0x0547);
});

Deno.test("PCI status bits are cleared by writing ones (PCI 3.0, 6.2.3)", () => {
  const pci = functionOn(new TestBench());
  pci.config.set(0x06, 2, 0x3280);
  pci.configWrite(0x06, 2, 0x1000);
  assert.equal(pci.configRead(0x06, 2), 0x2280);
  pci.configWrite(COMMAND, 4, 0xffff_0000);
  assert.equal(pci.configRead(0x06, 2), 0x0280);
});

Deno.test("a BAR tells its size and kind by what is left of all ones (PCI 3.0, 6.2.5.1)", () => {
  const pci = functionOn(new TestBench(), {
    bars: [
      { name: "ports", index: 0, kind: "io", size: 32 },
      { name: "registers", index: 1, kind: "mem32", size: 4096 },
      { name: "small 64", index: 2, kind: "mem64", size: 65536, prefetchable: true },
      { name: "large 64", index: 4, kind: "mem64", size: 2 ** 33 },
      { name: "rom", index: 6, kind: "rom", size: 65536 },
    ],
  });
  for (const offset of [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24]) {
    pci.configWrite(offset, 4, 0xffff_ffff);
  }
  pci.configWrite(0x30, 4, 0xffff_f800);
  assert.equal(pci.configRead(0x10, 4), 0xffff_ffe1);
  assert.equal(pci.configRead(0x14, 4), 0xffff_f000);
  assert.equal(pci.configRead(0x18, 4), 0xffff_000c);
  assert.equal(pci.configRead(0x1c, 4), 0xffff_ffff);
  assert.equal(pci.configRead(0x20, 4), 0x0000_0004);
  assert.equal(pci.configRead(0x24, 4), 0xffff_fffe);
  assert.equal(pci.configRead(0x30, 4), 0xffff_0000);
});

Deno.test("BARs that do not exist read as zero whatever is written (PCI 3.0, 6.2.5.1)", () => {
  const pci = functionOn(new TestBench());
  pci.configWrite(0x10, 4, 0xffff_ffff);
  assert.equal(pci.configRead(0x10, 4), 0);
});

Deno.test("an I/O BAR answers where it was put, while command bit 0 is set (PCI 3.0, 6.2.5)", () => {
  const bench = new TestBench();
  const { bus, ports, write } = pciBus(bench);
  const device = new Echo();
  const bar = { name: "echo", index: 0, kind: "io", size: 32, device } as const;
  bus.attach(3, 0, functionOn(bench, { bars: [bar] }));
  write(3, 0, 0x10, 4, 0xc021);
  assert.equal(ports.read(0xc025, 1), 0xff);
  write(3, 0, COMMAND, 2, 1);
  assert.equal(ports.read(0xc025, 1), 5);
  write(3, 0, 0x10, 4, 0xd001);
  assert.equal(ports.read(0xc025, 1), 0xff);
  assert.equal(ports.read(0xd007, 1), 7);
  write(3, 0, COMMAND, 2, 2);
  assert.equal(ports.read(0xd007, 1), 0xff);
});

Deno.test("a 64-bit BAR answers above 4 GiB, while command bit 1 is set (PCI 3.0, 6.2.5)", () => {
  const bench = new TestBench();
  const { bus, memory, write } = pciBus(bench);
  const device = new Echo();
  const bar = { name: "echo", index: 2, kind: "mem64", size: 4096, device } as const;
  bus.attach(3, 0, functionOn(bench, { bars: [bar] }));
  write(3, 0, COMMAND, 2, 2);
  write(3, 0, 0x18, 4, 0xfe00_0000);
  write(3, 0, 0x1c, 4, 0x0000_0002);
  assert.equal(memory.read(0x2_fe00_0010, 1), 0x10);
  assert.equal(memory.read(0xfe00_0010, 1), 0xff);
});

Deno.test("a BAR is decoded neither at 0 nor at the top of its space, where sizing puts it", () => {
  const pci = functionOn(new TestBench(), {
    bars: [
      { name: "ports", index: 0, kind: "io", size: 32 },
      { name: "registers", index: 1, kind: "mem32", size: 4096 },
      { name: "memory", index: 2, kind: "mem64", size: 4096 },
    ],
  });
  const ranges = () => pci.bars.map((bar) => pci.barRange(bar));
  pci.configWrite(COMMAND, 2, 3);
  assert.deepEqual(ranges(), [undefined, undefined, undefined]);
  for (const offset of [0x10, 0x14, 0x18, 0x1c]) pci.configWrite(offset, 4, 0xffff_ffff);
  assert.deepEqual(ranges(), [undefined, undefined, undefined]);
});

Deno.test("an expansion ROM is decoded by its enable bit and command bit 1 (PCI 3.0, 6.2.5.2)", () => {
  const moves: (AddressRange | undefined)[] = [];
  const pci = functionOn(new TestBench(), {
    bars: [
      { name: "rom", index: 6, kind: "rom", size: 65536, onMoved: (range) => moves.push(range) },
    ],
  });
  pci.configWrite(0x30, 4, 0xfeb0_0001);
  pci.configWrite(COMMAND, 2, 2);
  pci.configWrite(0x30, 4, 0xfeb0_0000);
  pci.configWrite(COMMAND, 2, 0);
  assert.deepEqual(moves, [{ base: 0xfeb0_0000, length: 65536 }, undefined]);
});

Deno.test("capabilities are chained from 34h, and status bit 4 says so (PCI 3.0, 6.7)", () => {
  const pci = functionOn(new TestBench(), {
    capabilities: [
      {
        id: 9,
        offset: 0x40,
        registers: [{ name: "length", offset: 2, bytes: 1, reset: 16 }],
      },
      {
        id: 0x11,
        offset: 0x50,
        registers: [{ name: "control", offset: 2, bytes: 2, reset: 3, writable: 0xc000 }],
      },
    ],
  });
  assert.equal(pci.configRead(0x06, 2) & 0x10, 0x10);
  assert.equal(pci.configRead(0x34, 1), 0x40);
  assert.equal(pci.configRead(0x40, 4), 0x0010_5009);
  assert.equal(pci.configRead(0x50, 4), 0x0003_0011);
  pci.configWrite(0x52, 2, 0xffff);
  assert.equal(pci.configRead(0x50, 4), 0xc003_0011);
});

Deno.test("command bit 10 holds the interrupt pin back, status bit 3 shows it (PCI 3.0, 6.2.2)", () => {
  const bench = new TestBench();
  const line = bench.irq("pin");
  const pci = functionOn(bench, {
    identity: { ...identity, pin: 1 },
    pin: { update: (level) => line.set(level()) },
  });
  pci.setInterrupt(true);
  assert.equal(line.level, true);
  pci.configWrite(COMMAND, 2, 0x0400);
  assert.equal(line.level, false);
  assert.equal(pci.configRead(0x06, 2), 0x0008);
  pci.configWrite(COMMAND, 2, 0);
  assert.equal(line.level, true);
  pci.setInterrupt(false);
  assert.equal(line.level, false);
});

Deno.test("a register with hooks is read through one and told of a write once", () => {
  const told: number[][] = [];
  const pci = functionOn(new TestBench(), {
    registers: [{
      name: "hooked",
      offset: 0x60,
      bytes: 4,
      reset: 0x1122_3344,
      writable: 0x00ff_ffff,
      onRead: (stored) => (stored ^ 0xff) >>> 0,
      onWrite: (after, before) => told.push([after, before]),
    }],
  });
  assert.equal(pci.configRead(0x60, 4), 0x1122_33bb);
  assert.equal(pci.configRead(0x61, 1), 0x33);
  pci.configWrite(0x5e, 4, 0x5566_0000);
  pci.configWrite(0x60, 4, 0xffff_ffff);
  assert.deepEqual(told, [[0x1122_5566, 0x1122_3344], [0x11ff_ffff, 0x1122_5566]]);
});

Deno.test("registers that overlap and BARs that cannot exist are mistakes that are named", () => {
  const make = (options: Partial<PciFunctionOptions>) => () => functionOn(new TestBench(), options);
  const register = { name: "over", offset: 0x0f, bytes: 2 };
  const late = { name: "late", offset: 0xff, bytes: 2 };
  assert.throws(make({ registers: [register, { ...register, name: "second" }] }), /second .*over/);
  assert.throws(make({ registers: [late] }), /late .*outside of 256 bytes/);
  assert.throws(make({ bars: [{ name: "odd", index: 0, kind: "io", size: 24 }] }), /power of two/);
  assert.throws(make({ bars: [{ name: "wide", index: 5, kind: "mem64", size: 64 }] }), /number 5/);
});
