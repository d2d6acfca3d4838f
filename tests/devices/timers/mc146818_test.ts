import assert from "node:assert/strict";
import { Mc146818, Mc146818State } from "../../../devices/timers/mc146818.ts";
import { localTimeOffsetMs } from "../../../devices/timers/mc146818_time.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const [A, B, C, D] = [0x0a, 0x0b, 0x0c, 0x0d];
const MS = 1_000_000;

function build(bench: TestBench, options: { startOffsetMs?: number } = {}) {
  const irq = bench.irq();
  const rtc = new Mc146818(bench.state(Mc146818State), {
    irq,
    clock: bench.clock,
    secondTimer: bench.timer("second"),
    periodTimer: bench.timer("period"),
    cmos: new Map([[0x0f, 0x05], [0x34, 0x12], [0x7f, 0xaa], [0x0b, 0xff]]),
    ...options,
  });
  const read = (address: number) => {
    rtc.write(0, 1, address);
    return rtc.read(1, 1);
  };
  const write = (address: number, value: number) => {
    rtc.write(0, 1, address);
    rtc.write(1, 1, value);
  };
  /** Century, year, month, day, hour, minute, second in hexadecimal. */
  const time = () =>
    [0x32, 9, 8, 7, 4, 2, 0].map((r) => read(r).toString(16).padStart(2, "0")).join(" ");
  return { bench, rtc, irq, read, write, time };
}

function start(options = {}) {
  const setup = build(new TestBench(), options);
  setup.rtc.reset();
  return setup;
}

deviceContract("mc146818", (bench) => {
  const { rtc } = build(bench);
  return {
    device: rtc,
    ports: [{ handler: rtc, length: 2, sizes: [1] }],
    events: [() => rtc.resetPin()],
    likely: [
      { port: 0, offset: 0, size: 1, values: [0, 1, 2, 3, 4, 5, 7, 8, 9, A, B, C, 0x32] },
      { port: 0, offset: 1, size: 1, values: [0x26, 0x76, 0x2f, 0x72, 0x82, 0xff, 0x59, 0x12] },
    ],
  };
});

Deno.test("mc146818 tells the host's time in BCD and 24 hours after reset (address map)", () => {
  const { time, read } = start();
  assert.equal(time(), "20 01 09 09 01 46 40");
  assert.equal(read(6), 1, "a Sunday");
  assert.equal(read(A), 0x26);
  assert.equal(read(B), 0x02);
  assert.equal(read(D), 0x80);
});

Deno.test("mc146818 tells binary and 12-hour time when asked (register B: DM, 24/12)", () => {
  const { bench, time, read, write } = start();
  bench.advance(12 * 3_600_000 * MS);
  write(B, 0x06);
  assert.equal(time(), "14 01 09 09 0d 2e 28");
  write(B, 0x00);
  assert.equal(read(4), 0x81, "1 p.m.");
  bench.advance(11 * 3_600_000 * MS);
  assert.equal(read(4), 0x12, "midnight is 12 a.m.");
});

Deno.test("mc146818 may start with local time instead of UTC", () => {
  const { time } = start({ startOffsetMs: 3_600_000 });
  assert.equal(time(), "20 01 09 09 02 46 40");
  assert.ok(Math.abs(localTimeOffsetMs(0)) <= 14 * 3_600_000);
});

Deno.test("mc146818 holds time while SET is 1 and goes on from what was written (register B)", () => {
  const { bench, time, write } = start();
  bench.advance(300 * MS);
  write(B, 0x82);
  bench.advance(5000 * MS);
  assert.equal(time(), "20 01 09 09 01 46 40");
  for (const [register, value] of [[0, 0x59], [2, 0x59], [4, 0x23], [7, 0x28], [8, 0x02]]) {
    write(register, value);
  }
  write(9, 0x24);
  write(B, 0x02);
  assert.equal(time(), "20 24 02 28 23 59 59");
  bench.advance(699 * MS);
  assert.equal(time(), "20 24 02 28 23 59 59", "the divider went on meanwhile");
  bench.advance(1 * MS);
  assert.equal(time(), "20 24 02 29 00 00 00", "a leap year");
});

Deno.test("mc146818 updates half a second after its divider was let go (register A)", () => {
  const { bench, write, read } = start();
  write(A, 0x76);
  bench.advance(777 * MS);
  write(A, 0x26);
  const second = read(0);
  bench.advance(499 * MS);
  assert.equal(read(0), second);
  bench.advance(1 * MS);
  assert.equal(read(0), second + 1);
});

Deno.test("mc146818 takes a time register written while it runs", () => {
  const { time, write } = start();
  write(9, 0x99);
  write(0x32, 0x19);
  assert.equal(time(), "19 99 09 09 01 46 40");
});

Deno.test("mc146818 shows UIP for 2228 µs before each update (table 4)", () => {
  const { bench, read } = start();
  bench.advance(997 * MS);
  assert.equal(read(A) & 0x80, 0);
  bench.advance(1 * MS);
  assert.equal(read(A) & 0x80, 0x80);
  bench.advance(2 * MS);
  assert.equal(read(A) & 0x80, 0);
});

Deno.test("mc146818 interrupts at the rate of register A and again once C was read (table 5)", () => {
  const { bench, irq, read, write } = start();
  write(A, 0x26); // 1024 Hz: 976562.5 ns
  write(B, 0x42);
  bench.advance(976_000);
  assert.equal(irq.level, false);
  bench.advance(1_000);
  assert.equal(irq.level, true);
  bench.advance(10 * MS);
  assert.equal(irq.raised, 1);
  assert.equal(read(C), 0xc0);
  assert.equal(irq.level, false);
  assert.equal(read(C), 0x00);
  bench.advance(976_000);
  assert.equal(irq.raised, 2);
});

Deno.test("mc146818 gives an edge for a period that ends while C is being read (register C)", () => {
  const { bench, irq, read, write } = start();
  write(A, 0x26);
  write(B, 0x42);
  bench.advance(2 * MS);
  assert.ok(irq.level);
  // Time goes on with every look at the clock.
  const { nowNs } = bench.clock;
  bench.clock.nowNs = () => bench.clock.ns += MS;
  const before = irq.raised;
  read(C);
  bench.clock.nowNs = nowNs;
  assert.ok(irq.level, "the next period has ended");
  assert.ok(irq.raised > before, "and it was seen to begin");
});

Deno.test("mc146818 knows the periods of all rates (table 5, 32.768 kHz)", () => {
  const { bench, read, write } = start();
  const countsIn = (ms: number) => {
    let count = 0;
    for (let i = 0; i < ms * 1000; i += 50) {
      bench.advance(50_000);
      if (read(C) & 0x40) count++;
    }
    return count;
  };
  write(A, 0x23);
  assert.equal(countsIn(125), 1024);
  write(A, 0x21);
  assert.equal(countsIn(125), 32);
  write(A, 0x22);
  assert.equal(countsIn(125), 16);
  write(A, 0x2d);
  assert.equal(countsIn(1000), 8);
  write(A, 0x20);
  assert.equal(countsIn(125), 0);
});

Deno.test("mc146818 interrupts when an update has ended (register B, UIE)", () => {
  const { bench, irq, read, write } = start();
  write(B, 0x12);
  bench.advance(999 * MS);
  assert.equal(irq.level, false);
  bench.advance(1 * MS);
  assert.equal(irq.level, true);
  assert.equal(read(C) & 0xb0, 0x90);
  bench.advance(1000 * MS);
  assert.equal(irq.raised, 2);
  write(B, 0x92);
  assert.equal(read(B), 0x82, "SET takes UIE back");
});

Deno.test("mc146818 alarm matches exactly, or anything from C0h up (alarm bytes)", () => {
  const { bench, irq, read, write } = start();
  write(1, 0x45);
  write(3, 0x46);
  write(5, 0x01);
  write(B, 0x22);
  bench.advance(4_900 * MS);
  assert.equal(irq.level, false);
  bench.advance(100 * MS);
  assert.equal(irq.level, true);
  assert.equal(read(C) & 0xa0, 0xa0);
  bench.advance(86_399_000 * MS);
  assert.equal(irq.raised, 1);
  bench.advance(1_000 * MS);
  assert.equal(irq.raised, 2, "a day later");
  read(C);
  write(3, 0xc0);
  write(5, 0xff);
  bench.advance(60_000 * MS);
  assert.equal(irq.raised, 3, "a minute later");
});

Deno.test("mc146818 flags can be polled without interrupts, and raise one when enabled later", () => {
  const { bench, irq, read, write } = start();
  bench.advance(1500 * MS);
  assert.equal(read(C) & 0x50, 0x50);
  bench.advance(1000 * MS);
  assert.equal(irq.level, false);
  write(B, 0x12);
  assert.equal(irq.level, true);
});

Deno.test("mc146818 RAM comes from the board; time and RAM outlast the RESET pin (p. 11)", () => {
  const { rtc, irq, bench, read, write } = start();
  assert.deepEqual([0x0f, 0x34, 0x7f, 0x50].map(read), [5, 0x12, 0xaa, 0]);
  write(0x0f, 0x0a);
  write(9, 0x30);
  write(B, 0x72);
  bench.advance(1000 * MS);
  assert.equal(irq.level, true);
  rtc.resetPin();
  assert.equal(irq.level, false);
  assert.equal(read(B), 0x02);
  assert.equal(read(0x0f), 0x0a);
  assert.equal(read(9), 0x30);
  assert.equal(rtc.peek(0x0f), 0x0a);
});

Deno.test("mc146818 index has seven bits and cannot be read; bit 7 masks NMI (PC/AT)", () => {
  const { rtc } = start();
  rtc.write(0, 1, 0x80 | 0x7f);
  assert.equal(rtc.read(1, 1), 0xaa);
  assert.equal(rtc.read(0, 1), 0xff);
});
