import assert from "node:assert/strict";
import type { AddressRange } from "../../../hv/core/memory/address_range.ts";
import { PciFunction, PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { ResetControl, ResetControlState } from "../../../devices/system/reset_control.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";
import { pciBus } from "./support.ts";

const identity = {
  vendor: 0x8086,
  device: 0x1237,
  revision: 2,
  classCode: 0x06_00_00,
  multifunction: true,
};

function busWithBridge(bench: TestBench) {
  const resets: string[] = [];
  const control = new ResetControl(bench.state(ResetControlState), (kind) => resets.push(kind));
  const parts = pciBus(bench, control);
  const bridge = new PciFunction(bench.state(PciFunctionState), { identity });
  parts.bus.attach(0, 0, bridge);
  const reset = () => {
    for (const device of [parts.bus, control, bridge]) device.reset();
  };
  return { ...parts, resets, reset };
}

deviceContract("pci bus", (bench) => {
  const { bus, reset } = busWithBridge(bench);
  return {
    device: { reset },
    ports: [
      { handler: bus.address, length: 4, sizes: [1, 2, 4] },
      { handler: bus.data, length: 4, sizes: [1, 2, 4] },
    ],
    likely: [{ port: 0, offset: 0, size: 4, values: [0x8000_0000, 0x8000_0004, 0x8000_0800] }],
  };
});

function started() {
  const bench = new TestBench();
  const parts = busWithBridge(bench);
  parts.reset();
  return { bench, ...parts };
}

Deno.test("CONFADD and CONFDATA reach bytes, words and dwords (82441FX, 3.1)", () => {
  const { ports } = started();
  ports.write(0xcf8, 4, 0x8000_0000);
  assert.equal(ports.read(0xcfc, 4), 0x1237_8086);
  assert.equal(ports.read(0xcfe, 2), 0x1237);
  assert.equal(ports.read(0xcfd, 2), 0x3780);
  assert.equal(ports.read(0xcff, 1), 0x12);
});

Deno.test("CONFADD reads back as a dword, without its reserved bits (82441FX, 3.1.1)", () => {
  const { ports } = started();
  ports.write(0xcf8, 4, 0xffff_ffff);
  assert.equal(ports.read(0xcf8, 4), 0x80ff_fffc);
});

Deno.test("byte and word accesses do not touch CONFADD (82441FX, 3.1.1)", () => {
  const { ports } = started();
  ports.write(0xcf8, 4, 0x8000_0000);
  ports.write(0xcfb, 1, 0x01);
  ports.write(0xcf8, 2, 0xffff);
  assert.equal(ports.read(0xcf8, 4), 0x8000_0000);
  assert.equal(ports.read(0xcfb, 1), 0xff);
});

Deno.test("absent functions, other buses and a disabled CONFADD read as ones (PCI 3.0, 6.1)", () => {
  const { ports, read } = started();
  assert.equal(read(1, 0, 0, 4), 0xffff_ffff);
  assert.equal(read(0, 1, 0, 2), 0xffff);
  ports.write(0xcf8, 4, 0x8001_0000);
  assert.equal(ports.read(0xcfc, 4), 0xffff_ffff);
  ports.write(0xcf8, 4, 0x0000_0000);
  assert.equal(ports.read(0xcfc, 1), 0xff);
});

Deno.test("a byte write to CF9h reaches the reset control register (82371SB, RC)", () => {
  const { ports, resets } = started();
  ports.write(0xcf9, 1, 0x02);
  assert.equal(ports.read(0xcf9, 1), 0x02);
  ports.write(0xcf9, 1, 0x06);
  ports.write(0xcf9, 1, 0x04);
  ports.write(0xcf9, 1, 0x0e);
  assert.deepEqual(resets, ["hard", "soft", "hard"]);
});

Deno.test("a function that has been taken out is gone with its BARs, and its place is free", () => {
  const { bench, bus, ports, memory, read, write } = started();
  const mapped: (number | undefined)[] = [];
  const device = (value: number) => ({ read: () => value, write: () => {} });
  const hot = (name: string, value: number) =>
    new PciFunction(bench.state(PciFunctionState, name), {
      identity,
      bars: [
        { name: "ports", index: 0, kind: "io", size: 8, device: device(value) },
        {
          name: "memory",
          index: 1,
          kind: "mem32",
          size: 4096,
          device: device(value),
          onMoved: (range?: AddressRange) => mapped.push(range?.base),
        },
      ],
    });
  const place = (pci: PciFunction) => {
    bus.attach(4, 0, pci);
    pci.reset();
    write(4, 0, 0x10, 4, 0xc000);
    write(4, 0, 0x14, 4, 0xfebd_0000);
    write(4, 0, 0x04, 2, 3);
  };
  const answers = () => [ports.read(0xc000, 1), memory.read(0xfebd_0000, 1)];
  const first = hot("first", 0x5a);
  place(first);
  assert.deepEqual(answers(), [0x5a, 0x5a]);
  first.reset();
  bus.detach(4, 0);
  bus.detach(4, 0);
  assert.deepEqual(answers(), [0xff, 0xff]);
  assert.equal(read(4, 0, 0, 4), 0xffff_ffff);
  assert.deepEqual(bus.functions.map(({ slot, number }) => [slot, number]), [[0, 0]]);
  place(hot("second", 0xa5));
  assert.deepEqual(answers(), [0xa5, 0xa5]);
  assert.deepEqual(mapped, [0xfebd_0000, undefined, 0xfebd_0000]);
  assert.deepEqual(bus.functions.map(({ slot, number }) => [slot, number]), [[0, 0], [4, 0]]);
});

Deno.test("functions can be attached only to places that exist and are free", () => {
  const bench = new TestBench();
  const { bus } = pciBus(bench);
  const single = new PciFunction(bench.state(PciFunctionState), {
    identity: { ...identity, multifunction: false },
  });
  bus.attach(0, 0, single);
  assert.throws(() => bus.attach(0, 0, single), /0\.0: there is one already/);
  assert.throws(() => bus.attach(0, 1, single), /0\.1: 0\.0 must be there/);
  assert.throws(() => bus.attach(32, 0, single), /32\.0: 0\.0 to 31\.7 exist/);
});
