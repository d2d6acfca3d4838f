import assert from "node:assert/strict";
import { I8259, I8259State } from "../../../devices/interrupts/i8259.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

function build(bench: TestBench) {
  const intr = bench.irq("intr");
  return { intr, pic: new I8259(bench.state(I8259State), intr) };
}

/** A pair set up as BIOSes do it: vectors 08h and 70h, everything unmasked. */
function start({ icw4 = 0x01, icw1 = 0x11 } = {}) {
  const { intr, pic } = build(new TestBench());
  pic.reset();
  const master = (...values: number[]) => values.forEach((value) => pic.master.write(0, 1, value));
  const slave = (...values: number[]) => values.forEach((value) => pic.slave.write(0, 1, value));
  const mask = (m: number, s = 0) => {
    pic.master.write(1, 1, m);
    pic.slave.write(1, 1, s);
  };
  master(icw1);
  for (const icw of [0x08, 0x04, icw4]) pic.master.write(1, 1, icw);
  slave(icw1);
  for (const icw of [0x70, 0x02, icw4]) pic.slave.write(1, 1, icw);
  const raise = (...irqs: number[]) => {
    for (const irq of irqs) {
      pic.setIrq(irq, false);
      pic.setIrq(irq, true);
    }
  };
  const isr = () => {
    master(0x0b);
    return pic.master.read(0, 1);
  };
  const irr = () => {
    master(0x0a);
    return pic.master.read(0, 1);
  };
  return { intr, pic, master, slave, mask, raise, isr, irr };
}

deviceContract("i8259", (bench) => {
  const { pic } = build(bench);
  return {
    device: pic,
    ports: [
      { handler: pic.master, length: 2, sizes: [1] },
      { handler: pic.slave, length: 2, sizes: [1] },
      { handler: pic.elcr, length: 2, sizes: [1] },
    ],
    events: [
      (random) => pic.setIrq(random.below(24), random.chance(50)),
      () => {
        if (pic.pending) pic.acknowledge();
      },
    ],
    likely: [
      {
        port: 0,
        offset: 0,
        size: 1,
        values: [0x11, 0x13, 0x20, 0x0a, 0x0b, 0x0c, 0x68, 0xa0, 0x80],
      },
      { port: 1, offset: 0, size: 1, values: [0x11, 0x20, 0x0c, 0x63, 0xc2] },
      { port: 0, offset: 1, size: 1, values: [0x08, 0x04, 0x01, 0x03, 0x11, 0x00] },
    ],
  };
});

Deno.test("i8259 gives the vectors of ICW2 and serves the lower input first (ICW2, fully nested)", () => {
  const { pic, intr, raise, isr, irr } = start();
  assert.equal(intr.level, false);
  raise(4, 1);
  assert.equal(intr.level, true);
  assert.equal(irr(), 0x12);
  assert.equal(pic.acknowledge(), 0x09);
  assert.equal(isr(), 0x02);
  assert.equal(irr(), 0x10);
  assert.equal(intr.level, false, "4 waits for 1");
});

Deno.test("i8259 lets a higher priority interrupt a lower one until EOI (fully nested mode)", () => {
  const { pic, intr, raise, isr, master } = start();
  raise(4);
  pic.acknowledge();
  raise(0);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x08);
  assert.equal(isr(), 0x11);
  master(0x20);
  assert.equal(isr(), 0x10, "non-specific EOI ends the highest");
  master(0x64);
  assert.equal(isr(), 0x00, "specific EOI ends the one it names");
});

Deno.test("i8259 passes the slave's requests through input 2 (cascade mode)", () => {
  const { pic, raise, isr, intr, master, slave } = start();
  raise(14, 8);
  assert.equal(pic.acknowledge(), 0x70);
  assert.equal(isr(), 0x04);
  assert.equal(intr.level, false);
  slave(0x20);
  assert.equal(intr.level, false, "the master still serves input 2");
  master(0x20);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x76);
});

Deno.test("i8259 masks with OCW1 and keeps requests meanwhile (OCW1)", () => {
  const { pic, intr, raise, mask } = start();
  mask(0x02);
  assert.equal(pic.master.read(1, 1), 0x02);
  raise(1);
  assert.equal(intr.level, false);
  mask(0x00);
  assert.equal(intr.level, true);
});

Deno.test("i8259 needs a new edge for each request; ICW1 forgets edges (ICW1)", () => {
  const { pic, intr, raise, master, irr } = start();
  raise(5);
  pic.acknowledge();
  master(0x20);
  assert.equal(intr.level, false, "the line is still high");
  raise(5);
  assert.equal(irr(), 0x20);
  master(0x11);
  assert.equal(intr.level, false);
  pic.master.write(1, 1, 0x20);
  pic.master.write(1, 1, 0x04);
  pic.master.write(1, 1, 0x01);
  assert.equal(irr(), 0);
  raise(5);
  assert.equal(pic.acknowledge(), 0x25);
});

Deno.test("i8259 follows the level of inputs that ELCR names (PIIX3, 4D0h-4D1h)", () => {
  const { pic, intr, slave, master } = start();
  pic.elcr.write(0, 1, 0xff);
  pic.elcr.write(1, 1, 0xff);
  assert.deepEqual([pic.elcr.read(0, 1), pic.elcr.read(1, 1)], [0xf8, 0xde]);
  pic.setIrq(11, true);
  assert.equal(pic.acknowledge(), 0x73);
  slave(0x20);
  master(0x20);
  assert.equal(intr.level, true, "still pulled");
  pic.acknowledge();
  pic.setIrq(11, false);
  slave(0x20);
  master(0x20);
  assert.equal(intr.level, false);
});

Deno.test("i8259 answers with input 7 when the request has gone (interrupt sequence)", () => {
  const { pic, isr } = start();
  assert.equal(pic.acknowledge(), 0x0f);
  assert.equal(isr(), 0, "and serves nothing");
  pic.elcr.write(1, 1, 0x08);
  pic.setIrq(11, true);
  pic.setIrq(11, false);
  assert.equal(pic.acknowledge(), 0x77, "the slave's 7");
  assert.equal(isr(), 0x04, "which the master does serve");
});

Deno.test("i8259 rotates: on EOI, and to a given lowest priority (OCW2)", () => {
  const { pic, raise, master } = start();
  raise(3, 5);
  assert.equal(pic.acknowledge(), 0x0b);
  master(0xa0);
  raise(3, 4);
  assert.equal(pic.acknowledge(), 0x0c, "3 is last now");
  master(0xe4);
  raise(4);
  assert.equal(pic.acknowledge(), 0x0d, "4 is last now");
  master(0x20, 0xc2);
  raise(0);
  assert.equal(pic.acknowledge(), 0x0b, "3 comes first after 2 was made last");
});

Deno.test("i8259 ends interrupts by itself in automatic EOI, rotating if told so (ICW4, OCW2)", () => {
  const { pic, raise, isr, master } = start({ icw4: 0x03 });
  raise(1);
  assert.equal(pic.acknowledge(), 0x09);
  assert.equal(isr(), 0);
  master(0x80);
  raise(1);
  pic.acknowledge();
  raise(1, 6);
  assert.equal(pic.acknowledge(), 0x0e);
  master(0x00);
  raise(0);
  assert.equal(pic.acknowledge(), 0x08);
});

Deno.test("i8259 special mask mode lets lower inputs through while one is masked (OCW3)", () => {
  const { pic, intr, raise, master, mask, isr } = start();
  raise(1);
  pic.acknowledge();
  mask(0x02);
  raise(6);
  assert.equal(intr.level, false);
  master(0x68);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x0e);
  master(0x20);
  assert.equal(isr(), 0x02, "a non-specific EOI skips the masked one");
  master(0x48);
  raise(6);
  assert.equal(intr.level, false);
});

Deno.test("i8259 special fully nested mode takes more from a slave in service (ICW4)", () => {
  const { pic, intr, raise } = start({ icw4: 0x11 });
  raise(12);
  assert.equal(pic.acknowledge(), 0x74);
  raise(9);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x71);
});

Deno.test("i8259 poll acknowledges and names the input (OCW3, poll command)", () => {
  const { pic, intr, raise, master, isr } = start();
  master(0x0c);
  assert.equal(pic.master.read(0, 1), 0);
  raise(6);
  master(0x0c);
  assert.equal(pic.master.read(0, 1), 0x86);
  assert.equal(isr(), 0x40);
  assert.equal(intr.level, false);
});

Deno.test("i8259 alone and without ICW4 is ready after ICW2 (ICW1: SNGL, IC4)", () => {
  const { pic, intr, raise, master } = start();
  master(0x12);
  pic.master.write(1, 1, 0x40);
  pic.master.write(1, 1, 0xfe);
  assert.equal(pic.master.read(1, 1), 0xfe);
  raise(0);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x40);
});

Deno.test("i8259 in level-triggered mode by LTIM repeats while a line is high (ICW1)", () => {
  const { pic, intr, raise, master } = start({ icw1: 0x19 });
  raise(3);
  assert.equal(pic.acknowledge(), 0x0b);
  master(0x20);
  assert.equal(intr.level, true);
  pic.setIrq(3, false);
  assert.equal(intr.level, false);
});

Deno.test("i8259 ignores lines that it does not have", () => {
  const { pic, irr } = start();
  for (const irq of [2, 16, 23, -1]) pic.setIrq(irq, true);
  assert.equal(irr(), 0);
});
