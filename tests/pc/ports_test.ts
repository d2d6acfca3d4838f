/** The board against the tables of hv/pc/README.md ("The guest's view"). */

import assert from "node:assert/strict";
import { setUpPci } from "../../bios/pci_setup.ts";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";

type Range = readonly [first: number, last: number];

/** The ranges in the first column of the table whose heading begins with `heading`. */
function documented(heading: string): Range[] {
  const text = Deno.readTextFileSync(new URL("../../hv/pc/README.md", import.meta.url));
  const section = text.slice(text.indexOf("## The guest's view"));
  const rows = section.slice(section.indexOf(`| ${heading}`)).split("\n").slice(2);
  const end = rows.findIndex((row) => !row.startsWith("|"));
  return rows.slice(0, end).flatMap((row) => {
    const column = row.split("|")[1];
    return [...column.matchAll(/([0-9A-F]+)h?(?:-([0-9A-F]+)h)?/g)].map((
      [, first, last],
    ): Range => [
      parseInt(first, 16),
      parseInt(last ?? first, 16),
    ]);
  });
}

const hex = (n: number) => `${n.toString(16).toUpperCase()}h`;
const covers = (ranges: readonly Range[], port: number) =>
  ranges.some(([first, last]) => port >= first && port <= last);

/** Ports of chips that are in the accelerator, and so on no bus. */
const IN_ACCELERATOR: Range[] = [[0x20, 0x21], [0xa0, 0xa1], [0x4d0, 0x4d1], [0x40, 0x43], [
  0x61,
  0x61,
]];
/** Rows that give a device's first port alone, and how many it has. */
const LENGTHS: Record<number, number> = {
  0x2e8: 8,
  0x2f8: 8,
  0x3e8: 8,
  0x3f8: 8,
  0xf4: 4,
};

Deno.test("every port of the board is in hv/pc/README.md's table, and the other way round", () => {
  const { pc } = new TestBoard(FULL_BOARD);
  setUpPci(pc.ports); // movable ranges are where the firmware puts them
  const table = documented("ports").map(([first, last]): Range => [
    first,
    LENGTHS[first] === undefined ? last : first + LENGTHS[first] - 1,
  ]);
  const built = pc.ports.ranges.map(({ base, length }): Range => [base, base + length - 1]);
  for (const { name, base, length } of pc.ports.ranges) {
    for (let port = base; port < base + length; port++) {
      assert.ok(covers(table, port), `port ${hex(port)} (${name}) is not in hv/pc/README.md`);
    }
  }
  for (const [first, last] of table) {
    const there = Array.from({ length: last - first + 1 }, (_, i) => first + i)
      .some((port) => covers(built, port) || covers(IN_ACCELERATOR, port));
    assert.ok(there, `hv/pc/README.md has ${hex(first)}, the board has nothing there`);
  }
});

Deno.test("every memory range of the board is in hv/pc/README.md's table", () => {
  const { pc } = new TestBoard(FULL_BOARD);
  const table = documented("memory");
  assert.ok(covers(table, 0xfee0_0000), "the table is understood");
  for (const { name, base, length } of pc.mmio.ranges) {
    assert.ok(covers(table, base), `${name} at ${hex(base)} is not in hv/pc/README.md`);
    assert.ok(covers(table, base + length - 1), `${name} ends beyond the table's range`);
  }
});

Deno.test("the PCI functions are those that hv/pc/README.md lists", () => {
  const { pc } = new TestBoard(FULL_BOARD);
  const text = Deno.readTextFileSync(new URL("../../hv/pc/README.md", import.meta.url));
  const listed = [
    ...text.slice(text.indexOf("\nPCI: ")).split("\n\n")[0].matchAll(/(\d\d)\.(\d) /g),
  ]
    .map(([, slot, number]) => `${slot}.${number}`);
  const found: string[] = [];
  const FREE = 3;
  for (let slot = 0; slot < 32; slot++) {
    for (let number = 0; number < 8; number++) {
      pc.ports.write(0xcf8, 4, (0x8000_0000 + slot * 0x800 + number * 0x100) >>> 0);
      const vendor = pc.ports.read(0xcfc, 2);
      if (vendor === 0xffff) continue;
      if (slot > FREE) {
        const isListed = number === 0 && [0x1af4, 0x8086].includes(vendor);
        assert.ok(isListed, "03.0 and on: a virtio device or network card in each slot");
        continue;
      }
      found.push(`${String(slot).padStart(2, "0")}.${number}`);
    }
  }
  assert.deepEqual(found, listed);
});
