import assert from "node:assert/strict";
import { describeBoard } from "../../hv/pc/firmware/firmware_tables.ts";
import { buildMpTable } from "../../bios/tables/mptable.ts";

const ADDRESS = 0xf_5a00;
const board = describeBoard({ cpus: 3, lowRamBytes: 1 << 27, highRamBytes: 0 });
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const SIZES = [20, 8, 8, 8, 8];

function parse() {
  const bytes = buildMpTable(board, ADDRESS);
  const view = new DataView(bytes.buffer);
  const config = bytes.subarray(16, 16 + view.getUint16(20, true));
  const entries: number[][] = [];
  for (let at = 44; at < config.length; at += SIZES[config[at]]) {
    entries.push([...config.subarray(at, at + SIZES[config[at]])]);
  }
  return { bytes, view, config, entries };
}

Deno.test("MP table: the floating pointer leads to the configuration table (MP 1.4, 4.1)", () => {
  const { bytes, view } = parse();
  assert.equal(new TextDecoder().decode(bytes.subarray(0, 4)), "_MP_");
  assert.equal(view.getUint32(4, true), ADDRESS + 16);
  assert.deepEqual([bytes[8], bytes[9]], [1, 4]);
  assert.equal(sum(bytes.subarray(0, 16)), 0);
  assert.deepEqual([bytes[11], bytes[12]], [0, 0], "a table, and virtual wire mode");
});

Deno.test("MP table: header, lengths and checksum are consistent (MP 1.4, 4.2)", () => {
  const { bytes, view, config, entries } = parse();
  assert.equal(new TextDecoder().decode(config.subarray(0, 4)), "PCMP");
  assert.equal(config.length + 16, bytes.length);
  assert.equal(sum(config), 0);
  assert.equal(view.getUint16(16 + 34, true), entries.length);
  assert.equal(view.getUint32(16 + 36, true), 0xfee0_0000);
  const types = entries.map(([type]) => type);
  assert.deepEqual(types, [...types].sort((a, b) => a - b), "in order of type (4.3)");
});

Deno.test("MP table: processors, the first of which starts the system (MP 1.4, 4.3.1)", () => {
  const processors = parse().entries.filter(([type]) => type === 0);
  assert.deepEqual(processors.map(([, id, version, flags]) => [id, version, flags]), [
    [0, 0x14, 3],
    [1, 0x14, 1],
    [2, 0x14, 1],
  ]);
});

Deno.test("MP table: buses PCI and ISA, and the I/O APIC (MP 1.4, 4.3.2, 4.3.3)", () => {
  const { entries } = parse();
  const buses = entries.filter(([type]) => type === 1);
  const name = (entry: number[]) => String.fromCharCode(...entry.slice(2));
  assert.deepEqual(buses.map((entry) => [entry[1], name(entry)]), [[0, "PCI   "], [1, "ISA   "]]);
  const apics = entries.filter(([type]) => type === 2);
  assert.deepEqual(apics, [[2, 0, 0x11, 1, 0, 0, 0xc0, 0xfe]]);
});

Deno.test("MP table: ISA interrupts, IRQ 0 at pin 2, none at 2 and those of PCI (MP 1.4, 4.3.4)", () => {
  const isa = parse().entries.filter(([type, , , , bus]) => type === 3 && bus === 1);
  const routes = isa.map(([, , , , , irq, , pin]) => [irq, pin]);
  assert.deepEqual(routes, [
    ...[[0, 2], [1, 1], [3, 3], [4, 4], [5, 5], [6, 6], [7, 7]],
    ...[[8, 8], [9, 9], [12, 12], [13, 13], [14, 14], [15, 15]],
  ]);
  const level = isa.filter(([, , flags]) => flags === 0x0d).map(([, , , , , irq]) => irq);
  assert.deepEqual(level, [9], "the SCI");
});

Deno.test("MP table: PCI interrupts go where the links are routed, level and active high (MP 1.4, D.3)", () => {
  const pci = parse().entries.filter(([type, , , , bus]) => type === 3 && bus === 0);
  assert.equal(pci.length, 31 * 4);
  const of = (slot: number) =>
    pci.filter(([, , , , , source]) => source >> 2 === slot).map((entry) => entry[7]);
  // Slot 1 begins with PIRQA#: routed to 10, 10, 11, 11; slot 3 with PIRQC#.
  assert.deepEqual(of(1), [10, 10, 11, 11]);
  assert.deepEqual(of(3), [11, 11, 10, 10]);
  assert.ok(pci.every(([, type, low, high]) => type === 0 && low === 0x0d && high === 0));
});

Deno.test("MP table: ExtINT at LINT0 of the first, NMI at LINT1 of all processors (MP 1.4, 4.3.5)", () => {
  const locals = parse().entries.filter(([type]) => type === 4);
  assert.deepEqual(locals, [[4, 3, 0, 0, 1, 0, 0, 0], [4, 1, 0, 0, 1, 0, 0xff, 1]]);
});
