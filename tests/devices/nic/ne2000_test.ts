/** NE2000 and its DP8390 against the data sheet (DP8390D, July 1995), as drivers use them. */

import assert from "node:assert/strict";
import { Dp8390State } from "../../../devices/nic/ne2000/dp8390.ts";
import { Ne2000Isa, Ne2000Pci } from "../../../devices/nic/ne2000/ne2000.ts";
import { PciFunctionState } from "../../../devices/pci/pci_function.ts";
import { PLAIN, Unplugged } from "../../../hv/core/net/network.ts";
import { deviceContract, type Subject } from "../../support/contract.ts";
import type { Random } from "../../support/random.ts";
import { type ProbeLine, TestBench } from "../../support/test_bench.ts";

const MAC = Uint8Array.of(0x52, 0x54, 0x00, 0x12, 0x34, 0x56);
const EVERYBODY = new Uint8Array(6).fill(0xff);
const CR = 0, PSTART = 1, PSTOP = 2, BNRY = 3, TPSR = 4, TBCR0 = 5, TBCR1 = 6, ISR = 7, RSAR0 = 8;
const RSAR1 = 9, RBCR0 = 0xa, RBCR1 = 0xb, RCR = 0xc, TCR = 0xd, DCR = 0xe, IMR = 0xf;
const TSR = 4, CURR = 7, PAR0 = 1, MAR0 = 8, DATA = 0x10, RESET = 0x1f;
const STP = 1, STA = 2, TXP = 4, READ = 8, WRITE = 0x10, ABORT = 0x20, PAGE1 = 0x40;
const PRX = 1, PTX = 2, RDC = 0x40, RST = 0x80;
const FIRST_PAGE = 0x46, LAST_PAGE = 0x60, TX_PAGE = 0x40;

/** A card on the bench. */
class Card {
  readonly bench: TestBench;
  readonly irq: ProbeLine;
  readonly card: Ne2000Isa;
  rings = 0;
  constructor(bench = new TestBench()) {
    this.bench = bench;
    this.irq = bench.irq();
    this.card = new Ne2000Isa({
      state: bench.state(Dp8390State),
      lock: bench.arena.lock("ne2000"),
      mac: MAC,
      ring: () => this.rings++,
    }, this.irq);
  }
  read = (port: number, size = 1): number => this.card.ports.read(port, size);
  write = (port: number, value: number, size = 1): void => this.card.ports.write(port, size, value);

  /** As a driver begins: words, a ring, its own address, everybody's frames, all interrupts. */
  start({ rcr = 4, word = true } = {}): this {
    this.card.reset();
    this.write(CR, ABORT | STP);
    this.write(DCR, 0x48 | (word ? 1 : 0));
    this.write(RCR, rcr);
    this.write(TCR, 0);
    this.write(PSTART, FIRST_PAGE);
    this.write(PSTOP, LAST_PAGE);
    this.write(BNRY, FIRST_PAGE);
    this.write(ISR, 0xff);
    this.write(IMR, PRX | PTX);
    this.write(CR, PAGE1 | ABORT | STP);
    MAC.forEach((byte, i) => this.write(PAR0 + i, byte));
    this.write(CURR, FIRST_PAGE + 1);
    this.write(CR, ABORT | STA);
    return this;
  }
  #remote(address: number, bytes: number, command: number): void {
    this.write(RBCR0, bytes & 0xff);
    this.write(RBCR1, bytes >> 8);
    this.write(RSAR0, address & 0xff);
    this.write(RSAR1, address >> 8);
    this.write(CR, command | STA);
  }
  /** By the remote DMA, in accesses of `size` bytes. */
  load(address: number, bytes: number, size = 2): Uint8Array {
    this.#remote(address, bytes, READ);
    const found = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i += size) {
      const value = this.read(DATA, size);
      for (let j = 0; j < size && i + j < bytes; j++) found[i + j] = value >>> (j * 8);
    }
    return found;
  }
  store(address: number, bytes: Uint8Array, size = 2): void {
    this.#remote(address, bytes.length, WRITE);
    for (let i = 0; i < bytes.length; i += size) {
      let value = 0;
      for (let j = 0; j < size; j++) value += (bytes[i + j] ?? 0) * 2 ** (j * 8);
      this.write(DATA, value, size);
    }
  }
  send(frame: Uint8Array): void {
    this.store(TX_PAGE * 256, frame);
    this.write(TPSR, TX_PAGE);
    this.write(TBCR0, frame.length & 0xff);
    this.write(TBCR1, frame.length >> 8);
    this.write(CR, ABORT | STA | TXP);
  }
  receive(bytes: Uint8Array): boolean {
    return this.card.receive({ bytes, offload: PLAIN });
  }
  get curr(): number {
    this.write(CR, PAGE1 | ABORT | STA);
    const curr = this.read(CURR);
    this.write(CR, ABORT | STA);
    return curr;
  }
}

/** A frame of `length` bytes to `to`, its payload counting up from `first`. */
function frameTo(to: Uint8Array, length = 100, first = 0): Uint8Array {
  const frame = Uint8Array.from({ length }, (_, i) => i + first);
  frame.set(to);
  return frame;
}

deviceContract("ne2000", (bench): Subject => {
  const card = new Card(bench);
  return {
    device: card.card,
    ports: [{ handler: card.card.ports, length: 32, sizes: [1, 2, 4] }],
    events: [
      () => void card.card.fetch(),
      (random: Random) => {
        const to = random.pick([MAC, EVERYBODY, Uint8Array.of(1, 0, 0x5e, 0, 0, 1)]);
        card.receive(frameTo(to, random.pick([14, 60, 300, 1514, 1519, 9000]), random.below(256)));
      },
      (random: Random) => card.card.setLink(random.chance(70), Unplugged.end),
    ],
    likely: [
      { port: 0, offset: CR, size: 1, values: [ABORT | STA, READ | STA, WRITE | STA, 0x26, 0x62] },
      { port: 0, offset: PSTART, size: 1, values: [0x40, 0x46, 0x7f, 0, 0xff] },
      { port: 0, offset: PSTOP, size: 1, values: [0x60, 0x80, 0x47, 0, 0xff] },
      { port: 0, offset: BNRY, size: 1, values: [0x46, 0x50, 0x7f, 0, 0xff] },
      { port: 0, offset: CURR, size: 1, values: [0x47, 0x50, 0xff] },
      { port: 0, offset: RBCR1, size: 1, values: [0, 1, 0xff] },
      { port: 0, offset: RSAR1, size: 1, values: [0, 0x40, 0x7f, 0x80, 0xff] },
      { port: 0, offset: RCR, size: 1, values: [0x1f, 4, 0] },
      { port: 0, offset: IMR, size: 1, values: [0x7f, 0] },
      { port: 0, offset: TBCR1, size: 1, values: [0, 1, 5, 6] },
    ],
  };
});

Deno.test("the reset port resets the chip: RST is seen until it is started (11.0)", () => {
  const card = new Card().start();
  assert.equal(card.read(ISR) & RST, 0);
  card.read(RESET);
  assert.equal(card.read(ISR), RST);
  assert.equal(card.read(CR), STP | ABORT);
  card.write(ISR, 0xff);
  assert.equal(card.read(ISR), RST, "it is not cleared by writing");
  card.write(CR, ABORT | STA);
  assert.equal(card.read(ISR), 0);
});

Deno.test("a command with neither STP nor STA changes neither, as drivers that select a page say it", () => {
  const card = new Card().start();
  card.write(CR, PAGE1);
  assert.equal(card.read(CR), PAGE1 | STA);
  assert.equal(card.receive(frameTo(MAC)), true);
  card.write(CR, 0);
  assert.equal(card.read(ISR), PRX);
  card.write(CR, ABORT | STP);
  card.write(CR, PAGE1);
  assert.equal(card.read(CR), PAGE1 | STP);
  card.write(CR, 0);
  assert.equal(card.read(ISR), PRX | RST);
});

Deno.test("the ROM has each byte of the address twice, and 57h twice behind (AN-874)", () => {
  for (const word of [true, false]) {
    const card = new Card().start({ word });
    const rom = card.load(0, 32, word ? 2 : 1);
    assert.deepEqual(rom.filter((_, i) => i < 12 && i % 2 === 0), MAC);
    assert.deepEqual(rom.filter((_, i) => i < 12 && i % 2 === 1), MAC);
    assert.deepEqual([...rom.slice(28)], [0x57, 0x57, 0x57, 0x57]);
  }
});

Deno.test("the memory is 16 KiB from 4000h on, by bytes, words and double words", () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, i) => i * 3);
  for (const [word, size] of [[false, 1], [true, 2], [true, 4]] as const) {
    const card = new Card().start({ word });
    card.store(0x4000, bytes, size);
    assert.deepEqual(card.load(0x4000, 64, size), bytes);
    card.store(0x3fe0, bytes, size);
    assert.deepEqual(card.load(0x4000, 32, size), bytes.slice(32), "below is the ROM");
    card.store(0x7fe0, bytes, size);
    assert.deepEqual(card.load(0x7fe0, 32, size), bytes.slice(0, 32));
    assert.deepEqual(card.load(0x8000, 4, size), new Uint8Array(4).fill(0xff), "above is nothing");
  }
});

Deno.test("a remote DMA ends with RDC, and behind the ring is its beginning (7.0)", () => {
  const card = new Card().start();
  card.store((LAST_PAGE - 1) * 256 + 254, Uint8Array.of(1, 2));
  card.store(FIRST_PAGE * 256, Uint8Array.of(3, 4));
  card.write(ISR, 0xff);
  assert.equal(card.read(ISR) & RDC, 0);
  assert.deepEqual([...card.load((LAST_PAGE - 1) * 256 + 254, 4)], [1, 2, 3, 4]);
  assert.equal(card.read(ISR) & RDC, RDC);
  assert.equal(card.read(DATA, 2), 0xffff, "nothing is left");
});

Deno.test("a frame is transmitted from its page at once, and PTX interrupts", () => {
  const card = new Card().start();
  const frame = frameTo(EVERYBODY, 321);
  assert.equal(card.card.fetch(), undefined);
  card.send(frame);
  assert.equal(card.rings, 1);
  assert.equal(card.read(CR) & TXP, 0);
  assert.equal(card.read(TSR), 1);
  assert.equal(card.irq.level, true);
  card.write(ISR, PTX);
  assert.equal(card.irq.level, false);
  card.store(TX_PAGE * 256, new Uint8Array(321));
  assert.deepEqual(card.card.fetch()?.bytes, frame, "the page may be used again");
  assert.equal(card.card.fetch(), undefined, "once");
});

Deno.test("a driver that is faster than the network waits for TXP, and nothing is lost", () => {
  const card = new Card().start();
  const frames = Array.from({ length: 9 }, (_, i) => frameTo(EVERYBODY, 60 + i, i));
  for (const frame of frames) {
    assert.equal(card.read(CR) & TXP, 0);
    card.send(frame);
  }
  assert.equal(card.read(CR) & TXP, TXP, "eight are under way");
  card.write(ISR, PTX);
  card.write(CR, ABORT | STA);
  assert.equal(card.read(CR) & TXP, TXP, "it goes on");
  const fetched = [];
  for (let frame = card.card.fetch(); frame !== undefined; frame = card.card.fetch()) {
    fetched.push(frame.bytes.slice());
    assert.equal(card.read(CR) & TXP, 0);
  }
  assert.deepEqual(fetched, frames);
  assert.equal(card.read(ISR) & PTX, PTX);
});

Deno.test("in loopback nothing leaves the card, and a stopped one transmits nothing", () => {
  const card = new Card().start();
  card.write(TCR, 2);
  card.send(frameTo(EVERYBODY));
  assert.equal(card.card.fetch(), undefined);
  assert.equal(card.read(ISR) & PTX, PTX);
  assert.equal(card.receive(frameTo(MAC)), true);
  assert.equal(card.read(ISR) & PRX, 0);
  card.write(TCR, 0);
  card.write(CR, ABORT | STP);
  card.write(CR, ABORT | STP | TXP);
  card.write(CR, ABORT | TXP);
  assert.equal(card.card.fetch(), undefined);
});

Deno.test("a frame is received into pages of the ring, with its header in front (6.0)", () => {
  const card = new Card().start();
  const frame = frameTo(MAC, 600);
  assert.equal(card.receive(frame), true);
  assert.equal(card.irq.level, true);
  const first = FIRST_PAGE + 1;
  assert.equal(card.curr, first + 3);
  const found = card.load(first * 256, 604);
  assert.deepEqual([...found.slice(0, 4)], [1, first + 3, 604 & 0xff, 604 >> 8]);
  assert.deepEqual(found.slice(4), frame);
  card.receive(frameTo(EVERYBODY, 14));
  const short = card.load((first + 3) * 256, 64);
  assert.deepEqual([...short.slice(0, 4)], [0x21, first + 4, 64, 0], "a group's, filled up to 60");
  assert.deepEqual(short.slice(18), new Uint8Array(46));
});

Deno.test("a full ring makes the network wait until the program has read some of it", () => {
  const card = new Card().start();
  const sent: Uint8Array[] = [];
  const read: Uint8Array[] = [];
  let next = FIRST_PAGE + 1;
  const take = () => {
    const [, following, low, high] = card.load(next * 256, 4);
    read.push(card.load(next * 256 + 4, (low | high << 8) - 4));
    next = following;
    card.write(BNRY, next === FIRST_PAGE ? LAST_PAGE - 1 : next - 1);
  };
  // Twenty-six pages: the ring turns several times.
  for (let i = 0; i < 60; i++) {
    const frame = frameTo(MAC, 60 + (i * 97) % 1400, i);
    sent.push(frame);
    const { rings } = card;
    while (!card.receive(frame)) {
      assert.notEqual(card.curr, next, "only a full ring has no room");
      take();
      assert.equal(card.rings, rings + 1, "who waits is told");
      card.rings = rings;
    }
  }
  while (next !== card.curr) take();
  assert.deepEqual(read, sent);
});

Deno.test("a driver that clears PRX of frames that it has not seen is told of them again", () => {
  // Linux looks for frames, finds no more, and clears PRX: what has come in between fills the ring.
  const card = new Card().start();
  while (card.receive(frameTo(MAC, 1500)));
  const { rings } = card;
  card.write(ISR, PRX);
  assert.equal(card.irq.level, false);
  assert.equal(card.rings, rings + 1);
  assert.equal(card.receive(frameTo(MAC, 1500)), false);
  assert.equal(card.irq.level, true);
});

Deno.test("frames are received by address: own, everybody's, groups by their hash, or all (RCR)", () => {
  const group = Uint8Array.of(0x01, 0x00, 0x5e, 0x00, 0x00, 0x01);
  const other = Uint8Array.of(0x52, 0x54, 0, 1, 2, 3);
  const kinds = [MAC, EVERYBODY, group, other];
  const wanted = (rcr: number, prepare: (card: Card) => void = () => {}) => {
    const card = new Card().start({ rcr });
    prepare(card);
    return kinds.map((to) => {
      const before = card.curr;
      card.receive(frameTo(to));
      return card.curr !== before;
    });
  };
  assert.deepEqual(wanted(0), [true, false, false, false]);
  assert.deepEqual(wanted(4), [true, true, false, false]);
  assert.deepEqual(wanted(8), [true, false, false, false], "its bit is not in the table");
  // CRC-32 of 01:00:5e:00:00:01 begins with 011111b, as Linux's ether_crc says.
  const table = (card: Card) => {
    card.write(CR, PAGE1 | ABORT | STA);
    card.write(MAR0 + (31 >> 3), 1 << (31 & 7));
    card.write(CR, ABORT | STA);
  };
  assert.deepEqual(wanted(8, table), [true, false, true, false]);
  assert.deepEqual(wanted(0x1c), [true, true, true, true]);
  assert.deepEqual(wanted(0x3c), [false, false, false, false], "a monitor keeps nothing");
});

Deno.test("a ring that lies outside of the memory, or is none, loses what comes", () => {
  for (const [pstart, pstop, curr] of [[0, 0x60, 1], [0x46, 0x90, 0x47], [0x60, 0x46, 0x60]]) {
    const card = new Card().start();
    card.write(PSTART, pstart);
    card.write(PSTOP, pstop);
    card.write(CR, PAGE1 | ABORT | STA);
    card.write(CURR, curr);
    card.write(CR, ABORT | STA);
    assert.equal(card.receive(frameTo(MAC)), true);
    assert.equal(card.read(ISR) & PRX, 0);
  }
});

Deno.test("without a cable frames go nowhere, and the carrier is missing (TSR)", () => {
  const card = new Card().start();
  card.card.setLink(false, Unplugged.user);
  card.send(frameTo(EVERYBODY));
  assert.equal(card.card.fetch(), undefined);
  assert.equal(card.read(TSR) & 0x10, 0x10);
  assert.equal(card.receive(frameTo(MAC)), true);
  assert.equal(card.read(ISR) & PRX, 0);
});

Deno.test("on PCI it is a Realtek 8029, and says so in registers, too", () => {
  const bench = new TestBench();
  const irq = bench.irq();
  const card = new Ne2000Pci(
    {
      state: bench.state(Dp8390State),
      lock: bench.arena.lock("ne2000"),
      mac: MAC,
      ring: () => {},
    },
    { state: bench.state(PciFunctionState), pin: { update: (level) => irq.set(level()) } },
  );
  card.reset();
  assert.equal(card.pci.config.read(0, 4), 0x8029_10ec);
  assert.equal(card.ports.read(RBCR0, 2), 0x4350);
  card.ports.write(IMR, 1, 0x40);
  card.ports.write(CR, 1, READ | STA);
  assert.equal(irq.level, true, "nothing to read: that is over at once");
});
