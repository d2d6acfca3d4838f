/**
 * A guest that does anything to any port and register, a million times, on a board without a
 * processor: nothing throws, nothing hangs, nothing grows, every value fits, and memory slots stay
 * in order (the board's accelerator checks them).
 */

import assert from "node:assert/strict";
import type { KeyCode } from "../../../devices/input/keymap.ts";
import { FULL_BOARD, TestBoard } from "../../support/test_board.ts";
import { Random, seed } from "../../support/random.ts";
import { HostileVirtio } from "./hostile_virtio.ts";
import { inFull } from "../../support/quick.ts";

const STEPS = inFull(1_000_000, 100_000);
/** How often garbage has to have come through to a drive, beyond: where it could do harm. */
const SELDOM = inFull(20, 0);
const FIRMWARE_PORT = 0xa8;
const SIZES = [1, 2, 4] as const;

type Step = (board: TestBoard, random: Random) => void;

/** Values that guests are likely to write, and any. */
function value(random: Random, size: number): number {
  const any = random.u32();
  const chosen = random.chance(20) ? random.pick([0, 1, 2, 0x80, 0xff, 0xffff_ffff]) : any;
  return size === 4 ? chosen >>> 0 : chosen % 2 ** (8 * size) >>> 0;
}

/** Guest-physical addresses at which something is, ends or is not. */
function address(random: Random): number {
  const near = random.pick([0, 0x9_fff0, 0xa_0000, 0xc_0000, 0xf_fff0, 4 << 20, 0xc000_0000]);
  return random.chance(30) ? random.u32() : (near + random.below(0x40) - 0x20) >>> 0;
}

function access(board: TestBoard, random: Random, port: number): void {
  const size = random.pick(SIZES);
  if (random.chance(50)) return board.pc.ports.write(port, size, value(random, size));
  const read = board.pc.ports.read(port, size);
  assert.ok(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size), `${port}: ${read}`);
}

const anyPort: Step = (board, random) => access(board, random, random.below(0x1_0000));

const claimedPort: Step = (board, random) => {
  const { base, length } = random.pick(portRanges(board));
  access(board, random, (base + random.below(length + 2)) & 0xffff);
};

/** Asked for seldom, since it makes a list each time. */
let known: { board: TestBoard; ranges: readonly { base: number; length: number }[] } | undefined;
function portRanges(board: TestBoard) {
  if (known?.board !== board) known = { board, ranges: board.pc.ports.ranges };
  return known.ranges;
}

const memory: Step = (board, random) => {
  const size = random.pick(SIZES);
  const { mmio } = board.pc;
  const at = random.chance(50) ? 0xa_0000 + random.below(0x6_0000) : address(random);
  if (random.chance(50)) return mmio.write(at, size, value(random, size));
  const read = mmio.read(at, size);
  assert.ok(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * size));
};

/** Base addresses, PAM, SMRAM, PIRQ routes: any register of any function. */
const pciRegister: Step = ({ pc }, random) => {
  const functions = [0, 0x800, 0x900, 0xb00, random.below(0x1_0000) & 0xff00];
  const register = random.chance(50)
    ? random.pick([4, 0x10, 0x20, 0x40, 0x58, 0x5c, 0x60, 0x80, 0x90])
    : random.below(64) * 4;
  pc.ports.write(0xcf8, 4, (0x8000_0000 + random.pick(functions) + register) >>> 0);
  pc.ports.write(0xcfc + random.below(4), random.pick(SIZES), value(random, 4));
};

/** An ATA or ATAPI command that moves data, with a table of physical regions anywhere. */
const diskDma: Step = (board, random) => {
  const { memory, pc: { ports } } = board;
  const [base, control, master] = random.pick([[0x1f0, 0x3f6, 0xc000], [0x170, 0x376, 0xc008]]);
  ports.write(0xcf8, 4, 0x8000_0920);
  ports.write(0xcfc, 4, 0xc001);
  ports.write(0xcf8, 4, 0x8000_0904);
  ports.write(0xcfc, 2, 5);
  const table = address(random);
  for (let i = 0; i < 4; i++) {
    memory.writeU32(table + i * 8, address(random));
    memory.writeU32(table + i * 8 + 4, random.u32());
  }
  if (random.chance(60)) {
    ports.write(control, 1, 4);
    ports.write(control, 1, 0);
  }
  ports.write(base + 6, 1, random.pick([0xe0, 0xf0, 0xa0, 0xb0, random.below(256)]));
  for (let register = 1; register < 6; register++) {
    const most = register < 4 ? 4 : 2;
    ports.write(base + register, 1, random.chance(85) ? random.below(most) : random.below(256));
  }
  ports.write(master, 1, 0);
  ports.write(master + 4, 4, table);
  ports.write(base + 7, 1, random.pick(ATA_COMMANDS));
  ports.write(master, 1, random.pick([0, 1, 8, 9]));
  for (let i = 0; i < 300; i++) {
    if (i % 50 === 10) board.serveIo();
    if (i < 6 || random.chance(90)) ports.write(base, 2, random.below(0x1_0000));
    else ports.read(base, 2);
  }
};

/** Read and write by PIO, multiple and DMA, of 28 and 48 bits; packet; identify. */
const ATA_COMMANDS = [
  0x20,
  0x24,
  0x25,
  0x29,
  0x30,
  0x30,
  0x34,
  0x35,
  0x39,
  0xa0,
  0xa1,
  0xc4,
  0xc5,
  0xc8,
  0xca,
  0xec,
];

/** A floppy command with its parameters, right or wrong, and a DMA channel set to anywhere. */
const floppyDma: Step = (board, random) => {
  const { ports } = board.pc;
  const write = (...values: number[]) => {
    for (const value of values) ports.write(0x3f5, 1, value);
  };
  const pass = (ns: number) => {
    board.clock.ns += ns;
    board.serveIo();
  };
  const unit = random.below(2);
  ports.write(0x3f2, 1, 0);
  ports.write(0x3f2, 1, 0x1c + unit * 0x11);
  ports.write(0x3f7, 1, random.pick([0, 0, 2]));
  pass(1e9);
  for (let i = 0; i < 8; i++) ports.read(0x3f5, 1);
  write(3, 0xdf, random.below(8)); // specify
  write(7, unit); // recalibrate
  pass(1e9);
  write(8); // sense interrupt status
  for (let i = 0; i < 2; i++) ports.read(0x3f5, 1);
  ports.write(0x0c, 1, 0);
  for (const port of [4, 4, 5, 5]) ports.write(port, 1, random.below(256));
  ports.write(0x81, 1, random.below(random.chance(80) ? 64 : 256));
  const isWrite = random.chance(50);
  ports.write(0x0b, 1, random.chance(90) ? (isWrite ? 0x4a : 0x46) : random.below(256));
  ports.write(0x0a, 1, 2);
  const command = isWrite ? random.pick([0xc5, 0xc5, 0x4d]) : random.pick([0xe6, 0x4a, 0x42]);
  write(random.chance(90) ? command : random.below(256));
  write(
    unit,
    random.below(2),
    random.below(2),
    1 + random.below(20),
    2,
    random.below(20),
    0x1b,
    0xff,
  );
  for (let i = 0; i < 4; i++) pass(300_000_000);
  for (let i = 0; i < 8; i++) ports.read(0x3f5, 1);
};

/** A virtio device with requests of which most parts are right (hostile_virtio.ts). */
const virtio: Step = (board, random) => {
  if (driver?.board !== board) driver = { board, virtio: new HostileVirtio(board) };
  driver.virtio.step(random);
};
let driver: { board: TestBoard; virtio: HostileVirtio } | undefined;

/** fw_cfg's DMA with a control structure anywhere that points anywhere (big-endian). */
const fwCfgDma: Step = ({ pc, memory }, random) => {
  const swapped = (n: number) => (n << 24 | (n & 0xff00) << 8 | n >>> 8 & 0xff00 | n >>> 24) >>> 0;
  const at = address(random);
  const fields = [
    random.below(0x40) + random.below(0x40) * 0x1_0000,
    random.u32(),
    0,
    address(random),
  ];
  for (const [i, field] of fields.entries()) memory.writeU32(at + 4 * i, swapped(field >>> 0));
  pc.ports.write(0x514, 4, 0);
  pc.ports.write(0x518, 4, swapped(at));
};

/** The firmware called from one of its stubs, or from elsewhere, with any registers. */
const firmware: Step = ({ pc, registers, memory }, random) => {
  registers.shuffle(random);
  if (random.chance(90)) registers.atService(random);
  if (random.chance(30)) {
    // A disk service (INT 13h) that finds its drive.
    registers.eax = random.pick([0, 2, 3, 4, 8, 0x15, 0x41, 0x42, 0x43, 0x44, 0x48, 0x4b]) << 8 |
      random.below(20);
    registers.edx = random.below(2) << 8 | random.pick([0, 1, 0x80, 0x81, 0xe0]);
    registers.ecx = 1 + random.below(3);
  }
  if (random.chance(20)) {
    const area = memory.view(0x400, 0x300)!;
    for (let i = 0; i < 8; i++) area[random.below(area.length)] = random.u32();
  }
  pc.ports.write(FIRMWARE_PORT, 1, random.below(256));
};

/** What other threads do meanwhile. */
const host: Step = (board, random) => {
  const { pc, clock, control } = board;
  clock.ns += random.pick([1000, 100_000, 10_000_000, 1e9]);
  board.serveIo();
  for (const stream of pc.streams) {
    stream.take();
    if (random.chance(10) && stream.pending < 1000) stream.send(Uint8Array.of(random.below(256)));
  }
  const key = random.pick<KeyCode>(["a", "ret", "f1", "ctrl", "shift"]);
  pc.keyboard.lock.with(() => pc.keyboard.key(key, random.chance(50)));
  control.takeEvents();
};

const STEPS_BY_WEIGHT: readonly (readonly [weight: number, step: Step])[] = [
  [40, claimedPort],
  [10, anyPort],
  [20, memory],
  [7, pciRegister],
  [1, virtio],
  [1, diskDma],
  [2, floppyDma],
  [6, fwCfgDma],
  [5, firmware],
  [8, host],
];

function anyStep(random: Random): Step {
  let at = random.below(100);
  for (const [weight, step] of STEPS_BY_WEIGHT) {
    if (at < weight) return step;
    at -= weight;
  }
  throw new Error("the weights add up to less than 100");
}

Deno.test(`${STEPS} hostile accesses to the board's ports, memory and firmware`, () => {
  const board = new TestBoard(FULL_BOARD);
  const random = new Random(seed());
  const { stateBytes } = board;
  const slow: string[] = [];
  let i = 0;
  try {
    for (; i < STEPS; i++) {
      const step = anyStep(random);
      const startMs = performance.now();
      step(board, random);
      const tookMs = performance.now() - startMs;
      if (tookMs > 20_000) slow.push(`step ${i} (${step.name}) took ${tookMs} ms`);
      // As after a guest's reset; the machine's own devices are all in use again.
      if (i % 50_000 === 49_999) board.pc.reset("reset");
    }
  } catch (cause) {
    throw new Error(`with HV_SEED=${seed()}, step ${i}: ${(cause as Error).stack}`, { cause });
  }
  assert.deepEqual(slow, []);
  assert.equal(board.stateBytes, stateBytes);
  // The garbage has come through to where it could do harm.
  for (const [i, { reads, writes, readOnly }] of board.images.entries()) {
    assert.ok(reads > SELDOM, `drive ${i} was read ${reads} times`);
    assert.ok(readOnly || writes > SELDOM, `drive ${i} was written ${writes} times`);
  }
  // After all that, a reset still gives a board that answers.
  board.pc.reset("powerOn");
  board.pc.ports.write(0x70, 1, 0x0d);
  assert.equal(board.pc.ports.read(0x71, 1), 0x80);
});

Deno.test("a hostile driver of virtio devices that lie in memory does the board no harm", () => {
  const board = new TestBoard({ ...FULL_BOARD, virtioTransport: "mmio" });
  const random = new Random(seed());
  const { stateBytes } = board;
  const hostile = new HostileVirtio(board);
  let i = 0;
  try {
    for (; i < 5000; i++) hostile.step(random);
  } catch (cause) {
    throw new Error(`with HV_SEED=${seed()}, step ${i}: ${(cause as Error).stack}`, { cause });
  }
  assert.equal(board.stateBytes, stateBytes);
  const disk = board.images.at(-1)!;
  assert.ok(disk.reads > 20 && disk.writes > 20, `${disk.reads} reads, ${disk.writes} writes`);
});
