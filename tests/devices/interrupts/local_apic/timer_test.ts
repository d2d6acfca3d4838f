import assert from "node:assert/strict";
import { Reg } from "../../../../devices/interrupts/local_apic/registers.ts";
import { ApicBench } from "../../../support/apic_bench.ts";

const MASKED = 0x1_0000;
const PERIODIC = 0x2_0000;
const TSC_DEADLINE = 0x4_0000;
const IA32_TSC_DEADLINE = 0x6e0;
/** TDCR: divide by 1, by 16. */
const BY_1 = 0xb;
const BY_16 = 0x3;

function start() {
  const b = new ApicBench().start();
  const [apic] = b.apics;
  const write = (offset: number, value: number) => apic.write(offset, 4, value);
  const count = () => apic.read(Reg.TMCCT, 4);
  const [msrs] = b.msrs;
  const deadline = (low: number, high = 0) => msrs.write(IA32_TSC_DEADLINE, low, high);
  const deadlineLeft = () => msrs.read(IA32_TSC_DEADLINE)?.low;
  return {
    b,
    apic,
    write,
    count,
    deadline,
    deadlineLeft,
    advance: (ns: number) => b.bench.advance(ns),
  };
}

Deno.test("local apic timer counts down once, and interrupts at 0 (11.5.4, one-shot)", () => {
  const { b, write, count, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 1000);
  assert.equal(count(), 1000);
  advance(400);
  assert.equal(count(), 600);
  advance(599);
  assert.equal(count(), 1);
  assert.deepEqual(b.serve(), []);
  advance(1);
  assert.equal(count(), 0);
  assert.deepEqual(b.serve(), [0x41]);
  advance(1_000_000);
  assert.deepEqual(b.serve(), []);
  assert.equal(b.apics[0].read(Reg.TMICT, 4), 1000);
});

Deno.test("local apic timer divides its clock by 1 to 128 (figure 11-10)", () => {
  const { apic, write, count, advance } = start();
  const dividers = [[0x0, 2], [0x1, 4], [0x2, 8], [0x3, 16], [0x8, 32], [0x9, 64], [0xa, 128], [
    0xb,
    1,
  ]];
  for (const [code, divisor] of dividers) {
    write(Reg.TDCR, code);
    write(Reg.TMICT, 0x1000);
    advance(10 * divisor);
    assert.equal(count(), 0x1000 - 10, `divided by ${divisor}`);
    advance(divisor - 1);
    assert.equal(count(), 0x1000 - 10);
  }
  write(Reg.TDCR, 0xffff_ffff);
  assert.equal(apic.read(Reg.TDCR, 4), 0xb, "the bits that exist");
});

Deno.test("local apic timer starts again by itself in periodic mode (11.5.4)", () => {
  const { b, write, count, advance } = start();
  write(Reg.TDCR, BY_16);
  write(Reg.LVT_TIMER, PERIODIC | 0x41);
  write(Reg.TMICT, 10_000); // 160 us
  for (let i = 0; i < 3; i++) {
    advance(159_999);
    assert.deepEqual(b.serve(), []);
    advance(1);
    assert.deepEqual(b.serve(), [0x41]);
    assert.equal(count(), 10_000);
  }
  write(Reg.TMICT, 0);
  advance(1_000_000);
  assert.deepEqual(b.serve(), []);
  assert.equal(count(), 0);
});

Deno.test("local apic timer interrupts once for periods that the host was too late for", () => {
  const { b, write, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, PERIODIC | 0x41);
  write(Reg.TMICT, 100_000);
  b.bench.clock.ns += 1_050_000;
  b.bench.timers.run();
  assert.deepEqual(b.serve(), [0x41]);
  assert.deepEqual(b.serve(), []);
  advance(49_999);
  assert.deepEqual(b.serve(), []);
  advance(1);
  assert.deepEqual(b.serve(), [0x41], "in step with its start");
});

Deno.test("local apic timer interrupts at most every 50 us, however small its count", () => {
  const { b, write, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, PERIODIC | 0x41);
  write(Reg.TMICT, 1);
  let interrupts = 0;
  for (let i = 0; i < 1000; i++) {
    advance(1000);
    interrupts += b.serve().length;
  }
  assert.ok(interrupts >= 19 && interrupts <= 21, `${interrupts} in 1 ms`);
});

Deno.test("local apic timer counts while it is masked, without an interrupt (11.5.1)", () => {
  const { b, write, count, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, MASKED | 0x41);
  write(Reg.TMICT, 1000);
  advance(600);
  assert.equal(count(), 400);
  write(Reg.LVT_TIMER, 0x41);
  advance(400);
  assert.deepEqual(b.serve(), [0x41]);
  write(Reg.TMICT, 1000);
  write(Reg.LVT_TIMER, MASKED | 0x41);
  advance(1000);
  write(Reg.LVT_TIMER, 0x41);
  advance(5000);
  assert.deepEqual(b.serve(), [], "it came to 0 while it was masked");
});

Deno.test("local apic timer that came to 0 stands when it becomes periodic, one that counts goes on", () => {
  const { b, write, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 100_000);
  advance(60_000);
  write(Reg.LVT_TIMER, PERIODIC | 0x41);
  advance(40_000);
  assert.deepEqual(b.serve(), [0x41]);
  advance(100_000);
  assert.deepEqual(b.serve(), [0x41]);
  write(Reg.LVT_TIMER, 0x41);
  advance(100_000);
  assert.deepEqual(b.serve(), [0x41]);
  write(Reg.LVT_TIMER, PERIODIC | 0x41);
  advance(1_000_000);
  assert.deepEqual(b.serve(), []);
});

Deno.test("local apic timer goes on from its count when TDCR changes", () => {
  const { b, write, count, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 1000);
  advance(500);
  write(Reg.TDCR, BY_16);
  assert.equal(count(), 500);
  advance(500 * 16 - 1);
  assert.deepEqual(b.serve(), []);
  advance(1);
  assert.deepEqual(b.serve(), [0x41]);
});

Deno.test("local apic timer interrupts when the time-stamp counter reaches the deadline (11.5.4.1)", () => {
  const { b, write, count, deadline, deadlineLeft, advance } = start();
  deadline(5000);
  assert.equal(deadlineLeft(), 0, "ignored in other modes");
  write(Reg.LVT_TIMER, TSC_DEADLINE | 0x41);
  deadline(5000);
  assert.equal(deadlineLeft(), 5000);
  write(Reg.TMICT, 100);
  assert.equal(b.apics[0].read(Reg.TMICT, 4), 0, "ignored in this mode");
  assert.equal(count(), 0);
  advance(4999);
  assert.deepEqual(b.serve(), []);
  advance(1);
  assert.deepEqual(b.serve(), [0x41]);
  assert.equal(deadlineLeft(), 0);
});

Deno.test("a deadline that has passed interrupts at once, 0 disarms, a far one waits (11.5.4.1)", () => {
  const { b, write, deadline, deadlineLeft, advance } = start();
  advance(10_000);
  write(Reg.LVT_TIMER, TSC_DEADLINE | 0x41);
  deadline(9_999);
  assert.deepEqual(b.serve(), [0x41], "without waiting for the thread of the timers");
  deadline(20_000);
  deadline(0);
  advance(50_000);
  assert.deepEqual(b.serve(), []);
  deadline(0xffff_ffff, 0xffff_ffff);
  advance(50_000);
  assert.deepEqual(b.serve(), []);
  assert.equal(deadlineLeft(), 0xffff_ffff);
});

Deno.test("changing to and from the deadline mode disarms the timer (11.5.4.1)", () => {
  const { b, write, count, deadline, deadlineLeft, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 1000);
  write(Reg.LVT_TIMER, TSC_DEADLINE | 0x41);
  deadline(5000);
  write(Reg.LVT_TIMER, 0x41);
  assert.equal(deadlineLeft(), 0);
  assert.equal(count(), 0);
  advance(10_000);
  assert.deepEqual(b.serve(), []);
});

Deno.test("a deadline that passes while it is masked is gone", () => {
  const { b, write, deadline, deadlineLeft, advance } = start();
  write(Reg.LVT_TIMER, TSC_DEADLINE | MASKED | 0x41);
  deadline(5000);
  advance(6000);
  assert.equal(deadlineLeft(), 0);
  write(Reg.LVT_TIMER, TSC_DEADLINE | 0x41);
  advance(6000);
  assert.deepEqual(b.serve(), []);
});

Deno.test("the reserved timer mode does nothing", () => {
  const { b, write, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, 0x6_0041);
  write(Reg.TMICT, 100);
  advance(1_000_000);
  assert.deepEqual(b.serve(), []);
});

Deno.test("a processor that looks finds its timer's interrupt before the timers' thread has come", () => {
  const { b, apic, write } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 1000);
  apic.timer.poll();
  b.bench.clock.ns += 1000;
  assert.deepEqual(b.serve(), []);
  apic.timer.poll();
  assert.deepEqual(b.serve(), [0x41]);
  b.bench.timers.run();
  assert.deepEqual(b.serve(), [], "and only once");
});

Deno.test("disabling the local apic masks its timer, INIT stops it (11.4.7)", () => {
  const { b, apic, write, count, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, PERIODIC | 0x41);
  write(Reg.TMICT, 100_000);
  write(Reg.SVR, 0xff);
  advance(250_000);
  assert.deepEqual(b.serve(), []);
  assert.equal(count(), 50_000);
  apic.init();
  assert.equal(count(), 0);
});

Deno.test("local apic timer that became periodic counts on from its initial count", () => {
  const { write, count, advance } = start();
  write(Reg.TDCR, BY_1);
  write(Reg.LVT_TIMER, MASKED | 0x41);
  write(Reg.TMICT, 1000);
  advance(300);
  write(Reg.LVT_TIMER, MASKED | PERIODIC | 0x41);
  assert.equal(count(), 700);
  advance(699);
  assert.equal(count(), 1);
  advance(1);
  assert.equal(count(), 1000);
  advance(1400);
  assert.equal(count(), 600);
});

Deno.test("rewriting the timer's vector does not lose the part of a count that has passed", () => {
  const { b, write, advance } = start();
  write(Reg.TDCR, BY_16);
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 100);
  for (let i = 0; i < 10; i++) {
    advance(9);
    write(Reg.LVT_TIMER, 0x42);
  }
  advance(1600 - 90 - 1);
  assert.deepEqual(b.serve(), []);
  advance(1);
  assert.deepEqual(b.serve(), [0x42]);
});

Deno.test("a deadline that is now interrupts now, and follows a time-stamp counter that is written", () => {
  const { b, apic, write, deadline, advance } = start();
  write(Reg.LVT_TIMER, TSC_DEADLINE | 0x41);
  advance(10_000);
  deadline(10_000);
  assert.deepEqual(b.serve(), [0x41]);
  deadline(50_000);
  b.tscOffsetNs = 30_000;
  apic.timer.tscChanged();
  advance(9_999);
  assert.deepEqual(b.serve(), []);
  advance(1);
  assert.deepEqual(b.serve(), [0x41]);
});

Deno.test("INIT takes the timer back from whoever runs the timers", () => {
  const { b, apic, write } = start();
  write(Reg.LVT_TIMER, 0x41);
  write(Reg.TMICT, 1000);
  assert.notEqual(b.bench.timers.run(), Infinity);
  apic.init();
  assert.equal(b.bench.timers.run(), Infinity);
});
