/** Virtio devices on the board: slots, interrupts, doorbells. */

import assert from "node:assert/strict";
import { setUpPci } from "../../bios/pci_setup.ts";
import { type BoardConfig, virtioCount } from "../../hv/pc/board_config.ts";
import { boardOf } from "../../hv/pc/firmware/firmware_tables.ts";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";
import { configCycles } from "../devices/pci/support.ts";

const DISKS = 3;
const CONFIG: BoardConfig = {
  ...FULL_BOARD,
  rng: false,
  virtioConsole: false,
  ports: [],
  shares: [],
  networks: [],
  vsock: undefined,
  balloon: false,
  drives: Array.from({ length: DISKS }, (_, unit) => ({
    kind: "disk",
    interface: "virtio",
    unit,
    sizeBytes: 1 << 20,
    readOnly: false,
  })),
};
const SLOT = 3;
const BAR4 = 0x20;
/** Of the notification structure in its BAR. */
const NOTIFY = 0x3000;

const board = () => {
  const made = new TestBoard(CONFIG);
  const { ports } = made.pc;
  return { ...made, board: made, ports, ...configCycles(ports) };
};

Deno.test("each virtio device has a slot from 3 on, and the firmware gives it addresses and a line", () => {
  const { ports, read } = board();
  setUpPci(ports);
  const bases = new Set<number>();
  for (let slot = SLOT; slot < SLOT + DISKS; slot++) {
    assert.equal(read(slot, 0, 0, 4), 0x1001_1af4);
    for (const bar of [0x10, 0x14, BAR4]) bases.add(read(slot, 0, bar, 4));
    // INTA# of slot 3 is PIRQC#, which is led to IRQ 11, then 11, 10.
    assert.equal(read(slot, 0, 0x3c, 1), [11, 11, 10][slot - SLOT]);
  }
  assert.equal(bases.size, DISKS * 3);
  assert.ok(!bases.has(0));
});

Deno.test("doorbells are attached where the guest puts them, and go with a reset of the machine", () => {
  const { doorbells, ports, pc, read, write } = board();
  assert.equal(doorbells.size, 0);
  setUpPci(ports);
  const slots = [SLOT, SLOT + 1, SLOT + 2];
  assert.deepEqual(
    doorbells,
    new Set([
      ...slots.map((slot) => read(slot, 0, BAR4, 4) + NOTIFY),
      // The legacy interface's.
      ...slots.map((slot) => (read(slot, 0, 0x10, 4) & ~3) + 0x10),
    ]),
  );
  write(SLOT, 0, 0x04, 2, 0);
  assert.equal(doorbells.size, 2 * (DISKS - 1));
  pc.reset("reset");
  assert.equal(doorbells.size, 0);
});

Deno.test("two devices at one address are the guest's mistake, and its doorbells stay in order", () => {
  const { doorbells, ports, read, write } = board();
  setUpPci(ports);
  const first = read(SLOT, 0, BAR4, 4);
  const second = read(SLOT + 1, 0, BAR4, 4);
  write(SLOT + 1, 0, BAR4, 4, first);
  assert.equal(doorbells.size, 2 * DISKS - 1);
  write(SLOT + 1, 0, BAR4, 4, second);
  assert.ok(doorbells.has(first + NOTIFY) && doorbells.has(second + NOTIFY));
});

Deno.test("a virtual machine that is new to the board gets the doorbells of the old one", () => {
  const { doorbells, ports, pc } = board();
  setUpPci(ports);
  const before = new Set(doorbells);
  doorbells.clear();
  pc.mapMemory();
  assert.deepEqual(doorbells, before);
});

Deno.test("virtio devices by MMIO have windows and doorbells of their own, which stay", () => {
  const made = new TestBoard({ ...CONFIG, virtioTransport: "mmio" });
  const { doorbells, pc } = made;
  const windows = Array.from({ length: DISKS }, (_, n) => 0xfec4_0000 + n * 0x1000);
  for (const base of windows) {
    assert.deepEqual([pc.mmio.read(base, 4), pc.mmio.read(base + 8, 4)], [0x7472_6976, 2]);
  }
  assert.equal(pc.mmio.read(windows[0] + DISKS * 0x1000, 4), 0xffff_ffff);
  const notify = new Set(windows.map((base) => base + 0x50));
  assert.deepEqual(doorbells, notify);
  pc.reset("reset");
  assert.deepEqual(doorbells, notify);
  doorbells.clear();
  pc.mapMemory();
  assert.deepEqual(doorbells, notify);
  const { read } = configCycles(pc.ports);
  for (let slot = 0; slot < 32; slot++) {
    assert.notEqual(read(slot, 0, 0, 2), 0x1af4, `a virtio device in slot ${slot}`);
  }
});

Deno.test("the tables have a window for each virtio device that the board has", () => {
  const config: BoardConfig = {
    ...FULL_BOARD,
    virtioTransport: "mmio",
    virtioConsole: true,
    ports: ["a", "b"],
    shares: [{ tag: "c" }],
  };
  const { pc } = new TestBoard(config);
  const count = virtioCount(config);
  assert.equal(count, 8, "disk, entropy, console, ports, share, vsock, network, balloon");
  const magic = (n: number) => pc.mmio.read(0xfec4_0000 + n * 0x1000, 4);
  assert.equal(magic(count - 1), 0x7472_6976);
  assert.equal(magic(count), 0xffff_ffff);
  assert.equal(boardOf(config).virtioMmio?.count, count);
});
