import assert from "node:assert/strict";
import { I8254, I8254State, PIT_HZ } from "../../../devices/timers/i8254.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

function build(bench: TestBench) {
  const irq = bench.irq();
  const pit = new I8254(bench.state(I8254State), {
    irq,
    clock: bench.clock,
    timer: bench.timer(),
  });
  return { bench, irq, pit };
}

function start() {
  const setup = build(new TestBench());
  const { bench, pit } = setup;
  pit.reset();
  let now = 0;
  /** Lets clock ticks pass; the time is kept half a tick behind the edge. */
  const ticks = (n: number) => {
    now += n;
    bench.advance(Math.round((now + 0.5) * 1e9 / PIT_HZ) - bench.clock.ns);
  };
  ticks(0);
  const control = (word: number) => pit.write(3, 1, word);
  const count = (channel: number, ...values: number[]) => {
    for (const value of values) pit.write(channel, 1, value);
  };
  const read = (channel: number) => pit.read(channel, 1);
  /** The live count of a channel that is read in two bytes, and OUT, by read-back. */
  const look = (channel: number) => {
    control(0xc0 | (2 << channel));
    const status = read(channel);
    const low = read(channel);
    return { count: low | (read(channel) << 8), out: status >> 7, status };
  };
  /** OUT after each of `n` ticks. */
  const outs = (channel: number, n: number) => {
    let text = "";
    for (let i = 0; i < n; i++) {
      ticks(1);
      text += look(channel).out;
    }
    return text;
  };
  /** Counts after each of `n` ticks. */
  const counts = (channel: number, n: number) => {
    const values: number[] = [];
    for (let i = 0; i < n; i++) {
      ticks(1);
      values.push(look(channel).count);
    }
    return values;
  };
  return { ...setup, ticks, control, count, read, look, outs, counts };
}

deviceContract("i8254", (bench) => {
  const { pit } = build(bench);
  return {
    device: pit,
    ports: [{ handler: pit, length: 4, sizes: [1] }],
    events: [(random) => pit.setGate2(random.chance(50)), () => pit.out2],
    likely: [
      {
        port: 0,
        offset: 3,
        size: 1,
        values: [0x34, 0x36, 0x30, 0x31, 0x32, 0x38, 0x3a, 0xb6, 0xc2],
      },
      { port: 0, offset: 0, size: 1, values: [0, 1, 2, 0x12, 0xff] },
    ],
  };
}, { blindSteps: 5000 });

Deno.test("i8254 mode 0: OUT rises N + 1 clocks after the count was written (mode 0)", () => {
  const { control, count, outs, look } = start();
  control(0x30);
  assert.equal(look(0).out, 0);
  count(0, 4, 0);
  assert.equal(outs(0, 7), "0000111");
});

Deno.test("i8254 mode 0 counts on past zero, and the first byte stops it (mode 0)", () => {
  const { control, count, counts, look } = start();
  control(0x30);
  count(0, 3, 0);
  assert.deepEqual(counts(0, 5), [3, 2, 1, 0, 0xffff]);
  count(0, 9);
  assert.equal(look(0).out, 0);
  count(0, 0);
  assert.deepEqual(counts(0, 2), [9, 8]);
});

Deno.test("i8254 mode 0: GATE 0 holds the count (mode 0)", () => {
  const { pit, control, count, counts } = start();
  pit.setGate2(true);
  control(0xb0);
  count(2, 5, 0);
  assert.deepEqual(counts(2, 3), [5, 4, 3]);
  pit.setGate2(false);
  assert.deepEqual(counts(2, 2), [3, 3]);
  pit.setGate2(true);
  assert.deepEqual(counts(2, 3), [2, 1, 0]);
  assert.equal(pit.out2, true);
});

Deno.test("i8254 mode 1: a rising GATE gives one low pulse of N clocks, again and again (mode 1)", () => {
  const { pit, control, count, outs } = start();
  control(0xb2);
  count(2, 3, 0);
  assert.equal(outs(2, 2), "11");
  pit.setGate2(true);
  assert.equal(outs(2, 5), "00011");
  pit.setGate2(false);
  pit.setGate2(true);
  assert.equal(outs(2, 2), "00");
  pit.setGate2(false);
  pit.setGate2(true);
  assert.equal(outs(2, 5), "00011", "retriggered");
});

Deno.test("i8254 mode 2: OUT is low for one clock in N (mode 2)", () => {
  const { control, count, counts, outs } = start();
  control(0x34);
  count(0, 3, 0);
  assert.equal(outs(0, 7), "1101101");
  assert.deepEqual(counts(0, 3), [2, 1, 3]);
});

Deno.test("i8254 mode 2: a new count takes over at the end of the cycle; GATE reloads (mode 2)", () => {
  const { pit, control, count, counts } = start();
  pit.setGate2(true);
  control(0xb4);
  count(2, 4, 0);
  assert.deepEqual(counts(2, 2), [4, 3]);
  count(2, 5, 0);
  assert.deepEqual(counts(2, 4), [2, 1, 5, 4]);
  pit.setGate2(false);
  assert.equal(pit.out2, true);
  pit.setGate2(true);
  assert.deepEqual(counts(2, 2), [5, 4]);
});

Deno.test("i8254 mode 3: a square wave, by twos, with an odd count's high half longer (mode 3)", () => {
  const { control, count, counts, outs } = start();
  control(0x36);
  count(0, 4, 0);
  assert.equal(outs(0, 8), "11001100");
  assert.deepEqual(counts(0, 4), [4, 2, 4, 2]);
  control(0x36);
  count(0, 5, 0);
  assert.deepEqual(counts(0, 5), [4, 2, 0, 4, 2]);
  assert.equal(outs(0, 10), "1110011100");
});

Deno.test("i8254 mode 3: a new count takes over at the end of the half-cycle (mode 3)", () => {
  const { control, count, outs } = start();
  control(0x36);
  count(0, 8, 0);
  assert.equal(outs(0, 2), "11");
  count(0, 4, 0);
  assert.equal(outs(0, 8), "11001100");
});

Deno.test("i8254 mode 4: OUT is low for one clock N + 1 clocks after writing (mode 4)", () => {
  const { control, count, outs, look } = start();
  control(0x38);
  assert.equal(look(0).out, 1);
  count(0, 3, 0);
  assert.equal(outs(0, 6), "111011");
});

Deno.test("i8254 mode 5: the same after a rising GATE (mode 5)", () => {
  const { pit, control, count, outs } = start();
  control(0xba);
  count(2, 3, 0);
  assert.equal(outs(2, 5), "11111");
  pit.setGate2(true);
  assert.equal(outs(2, 6), "111011");
});

Deno.test("i8254 takes modes 6 and 7 for 2 and 3 (control word format)", () => {
  const { control, look } = start();
  control(0x3c);
  assert.equal(look(0).status & 0x0e, 0x04);
  control(0x3e);
  assert.equal(look(0).status & 0x0e, 0x06);
});

Deno.test("i8254 counts in BCD: 0 is 10000 (control word format)", () => {
  const { control, count, counts } = start();
  control(0x31);
  count(0, 0x02, 0x10);
  assert.deepEqual(counts(0, 4), [0x1002, 0x1001, 0x1000, 0x0999]);
  control(0x35);
  count(0, 0, 0);
  assert.deepEqual(counts(0, 2), [0x0000, 0x9999]);
});

Deno.test("i8254 reads one byte or two, as the control word says (RW bits)", () => {
  const { control, count, read, ticks } = start();
  control(0x54);
  count(1, 0x40);
  ticks(1);
  assert.equal(read(1), 0x40);
  assert.equal(read(1), 0x40);
  control(0x64);
  count(1, 0x12);
  ticks(1);
  assert.equal(read(1), 0x12);
  control(0x74);
  count(1, 0x34, 0x12);
  ticks(1);
  assert.deepEqual([read(1), read(1)], [0x34, 0x12]);
});

Deno.test("i8254 latches a count until it was read, and only once (counter latch command)", () => {
  const { control, count, read, ticks } = start();
  control(0x34);
  count(0, 0x00, 0x10);
  ticks(1);
  control(0x00);
  ticks(16);
  control(0x00);
  assert.deepEqual([read(0), read(0)], [0x00, 0x10]);
  assert.deepEqual([read(0), read(0)], [0xf0, 0x0f]);
});

Deno.test("i8254 read-back latches status and count together, status first (read-back command)", () => {
  const { control, count, read, ticks } = start();
  control(0x34);
  count(0, 0x34, 0x12);
  control(0xe2);
  assert.equal(read(0), 0xf4, "null count: not loaded yet");
  ticks(1);
  control(0xc2);
  ticks(5);
  assert.deepEqual([read(0), read(0), read(0)], [0xb4, 0x34, 0x12]);
  control(0xd6);
  control(0xee);
  assert.equal(read(1) & 0x3f, 0x36);
});

Deno.test("i8254 interrupts at each rise of OUT 0, at 18.2 Hz with a count of 0", () => {
  const { bench, irq, control, count } = start();
  control(0x36);
  count(0, 0, 0);
  const before = irq.raised;
  bench.advance(1_000_000_000);
  assert.equal(irq.raised - before, 18);
  control(0x34);
  count(0, 0xa9, 0x04); // 1193: 1000.15 Hz
  const again = irq.raised;
  bench.advance(1_000_000_000);
  assert.equal(irq.raised - again, 1000);
});

Deno.test("i8254 interrupts once in mode 0 and not faster than the host can bear", () => {
  const { bench, irq, control, count } = start();
  control(0x30);
  assert.equal(irq.level, false);
  count(0, 100, 0);
  const before = irq.raised;
  bench.advance(1_000_000);
  assert.equal(irq.raised - before, 1);
  bench.advance(1_000_000_000);
  assert.equal(irq.raised - before, 1);
  control(0x14);
  count(0, 2);
  const again = irq.raised;
  bench.advance(10_000_000);
  assert.ok(irq.raised - again <= 200, `${irq.raised - again} interrupts in 10 ms`);
});

Deno.test("i8254 a count that ends while the host is still writing it interrupts (mode 4)", () => {
  const bench = new TestBench();
  const irq = bench.irq();
  /** The host takes 100 µs from one look at the clock to the next. */
  const clock = { nowNs: () => bench.clock.ns += 100_000, wallMs: () => 0 };
  const pit = new I8254(bench.state(I8254State), { irq, clock, timer: bench.timer() });
  pit.reset();
  for (const [offset, value] of [[3, 0x38], [0, 15], [0, 0]]) pit.write(offset, 1, value);
  const before = irq.raised;
  bench.advance(1_000_000);
  assert.equal(irq.raised, before + 1, "Linux, without ticks, sleeps for ever after a lost one");
});
