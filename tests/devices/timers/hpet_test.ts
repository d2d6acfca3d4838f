import assert from "node:assert/strict";
import { Hpet, HPET_BYTES, HPET_COMPARATORS, HpetState } from "../../../devices/timers/hpet.ts";
import { record, u8 } from "../../../hv/core/state/record.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const ENABLE = 1;
const LEGACY = 2;
const LEVEL = 0x02;
const INT_ENB = 0x04;
const PERIODIC = 0x08;
const VAL_SET = 0x40;
const MODE_32 = 0x100;
const route = (line: number) => line << 9;

const LegacyState = record("test.legacy", 1, { active: u8 });

function build(bench: TestBench) {
  const lock = bench.arena.lock("hpet");
  const legacy = bench.state(LegacyState, "bench.legacy");
  const lines = Array.from(
    { length: 24 },
    (_, i) => i >= 20 ? bench.irq(`line${i}`) : undefined,
  );
  const legacyLines = [bench.irq("irq0"), bench.irq("irq8")] as const;
  const hpet = new Hpet(bench.state(HpetState), {
    clock: bench.clock,
    timers: Array.from({ length: HPET_COMPARATORS }, (_, n) => bench.timer(`hpet${n}`, lock)),
    lines,
    legacyLines,
    onLegacyReplacement: (active) => legacy.active = active ? 1 : 0,
  });
  return { hpet, lines, legacyLines, legacy };
}

function start() {
  const bench = new TestBench();
  const parts = build(bench);
  const { hpet } = parts;
  hpet.reset();
  const write = (offset: number, value: number) => hpet.write(offset, 4, value);
  const read = (offset: number) => hpet.read(offset, 4);
  const raised = () => parts.lines.slice(20).map((line) => line!.raised);
  const levels = () => parts.lines.slice(20).map((line) => line!.level);
  return { ...parts, write, read, raised, levels, advance: (ns: number) => bench.advance(ns) };
}

deviceContract("hpet", (bench) => {
  const { hpet } = build(bench);
  return {
    device: hpet,
    ports: [{ handler: hpet, length: HPET_BYTES, sizes: [4] }],
    likely: [
      { port: 0, offset: 0x010, size: 4, values: [0, 1, 1, 1, 3] },
      { port: 0, offset: 0x020, size: 4, values: [1, 7] },
      { port: 0, offset: 0x0f0, size: 4, values: [0, 0xffff_fff0] },
      ...[0, 1, 2].flatMap((n) => [
        {
          port: 0,
          offset: 0x100 + n * 0x20,
          size: 4,
          values: [INT_ENB, LEVEL | INT_ENB | route(21), 0x4c, 0x14c | route(22), PERIODIC],
        },
        { port: 0, offset: 0x108 + n * 0x20, size: 4, values: [0, 100, 10_000, 0xffff_ffff] },
        { port: 0, offset: 0x10c + n * 0x20, size: 4, values: [0, 1, 0xffff_ffff] },
      ]),
    ],
  };
});

Deno.test("hpet says what it is: 3 comparators, 64 bits, legacy replacement, 10 ns (HPET 1.0a, 2.3.4)", () => {
  const { read } = start();
  assert.equal(read(0x000), 0x8086_a201);
  assert.equal(read(0x004), 10_000_000);
  for (const n of [0, 1, 2]) {
    assert.equal(read(0x100 + n * 0x20), 0x30, "periodic and 64 bits");
    assert.equal(read(0x104 + n * 0x20), 0x00f0_0000);
    assert.equal(read(0x108 + n * 0x20), 0xffff_ffff);
    assert.equal(read(0x10c + n * 0x20), 0xffff_ffff);
  }
  assert.equal(read(0x160), 0, "no fourth");
});

Deno.test("hpet's counter runs while it is enabled, and is written while it is halted (2.3.5, 2.3.7)", () => {
  const { read, write, advance } = start();
  advance(1000);
  assert.equal(read(0x0f0), 0);
  write(0x0f0, 0xffff_fff0);
  write(0x0f4, 0x7);
  write(0x010, ENABLE);
  assert.equal(read(0x0f0), 0xffff_fff0);
  advance(155);
  assert.equal(read(0x0f0), 0xffff_ffff);
  assert.equal(read(0x0f4), 7);
  advance(5);
  assert.deepEqual([read(0x0f0), read(0x0f4)], [0, 8]);
  write(0x0f0, 0x1234);
  assert.equal(read(0x0f0), 0, "not while it runs");
  write(0x010, 0);
  advance(1000);
  assert.deepEqual([read(0x0f0), read(0x0f4)], [0, 8]);
});

Deno.test("hpet's counter wraps from 64 ones to 0", () => {
  const { read, write, advance } = start();
  write(0x0f0, 0xffff_ffff);
  write(0x0f4, 0xffff_ffff);
  write(0x010, ENABLE);
  advance(20);
  assert.deepEqual([read(0x0f0), read(0x0f4)], [1, 0]);
});

Deno.test("hpet one-shot comparator pulses its line at the match, once (2.3.9.2.1)", () => {
  const { write, raised, levels, advance } = start();
  write(0x100, INT_ENB | route(21));
  write(0x108, 1000);
  write(0x10c, 0);
  write(0x010, ENABLE);
  advance(9_990);
  assert.deepEqual(raised(), [0, 0, 0, 0]);
  advance(20);
  assert.deepEqual(raised(), [0, 1, 0, 0]);
  assert.deepEqual(levels(), [false, false, false, false]);
  advance(1e9);
  assert.deepEqual(raised(), [0, 1, 0, 0]);
  write(0x108, 1000);
  advance(1e9);
  assert.deepEqual(raised(), [0, 1, 0, 0], "a match in the past is none");
});

Deno.test("hpet 32-bit comparator matches whenever the low half of the counter does (2.3.9.2.1)", () => {
  const { read, write, raised, advance } = start();
  write(0x100, INT_ENB | MODE_32 | route(20));
  write(0x108, 1000);
  write(0x10c, 5);
  assert.equal(read(0x10c), 0, "it has no high half");
  write(0x0f4, 9);
  write(0x010, ENABLE);
  advance(10_010);
  assert.equal(raised()[0], 1);
  advance(2 ** 32 * 10 - 100);
  assert.equal(raised()[0], 1);
  advance(100);
  assert.equal(raised()[0], 2);
});

Deno.test("hpet level interrupt stays until its status bit is written (2.3.6)", () => {
  const { read, write, levels, advance } = start();
  write(0x120, INT_ENB | LEVEL | route(22));
  write(0x128, 1000);
  write(0x12c, 0);
  write(0x010, ENABLE);
  advance(10_010);
  assert.equal(read(0x020), 2);
  assert.deepEqual(levels(), [false, false, true, false]);
  write(0x020, 1);
  assert.deepEqual(levels(), [false, false, true, false]);
  write(0x020, 2);
  assert.equal(read(0x020), 0);
  assert.deepEqual(levels(), [false, false, false, false]);
});

Deno.test("hpet shares a line between level comparators, and lets it go when both have ended", () => {
  const { write, levels, advance } = start();
  for (const n of [0, 1]) {
    write(0x100 + n * 0x20, INT_ENB | LEVEL | route(20));
    write(0x108 + n * 0x20, 1000);
    write(0x10c + n * 0x20, 0);
  }
  write(0x010, ENABLE);
  advance(10_010);
  write(0x020, 1);
  assert.equal(levels()[0], true);
  write(0x020, 2);
  assert.equal(levels()[0], false);
});

Deno.test("hpet periodic comparator adds its period; VAL_SET sets the first match (2.3.9.2.2)", () => {
  const { read, write, raised, advance } = start();
  write(0x100, INT_ENB | PERIODIC | VAL_SET | route(20));
  write(0x108, 50_000);
  write(0x10c, 0);
  write(0x108, 10_000);
  assert.equal(read(0x108), 50_000, "the match");
  assert.equal(read(0x100) & VAL_SET, 0, "cleared by the write");
  write(0x010, ENABLE);
  advance(499_990);
  assert.equal(raised()[0], 0);
  advance(20);
  assert.equal(raised()[0], 1);
  assert.equal(read(0x108), 60_000);
  advance(100_000);
  assert.equal(raised()[0], 2);
  advance(300_000);
  assert.equal(raised()[0], 5);
  assert.equal(read(0x108), 100_000);
});

Deno.test("hpet VAL_SET sets both halves of the match by a 64-bit write in two (2.3.9.2.2)", () => {
  const { read, write } = start();
  write(0x100, INT_ENB | PERIODIC | VAL_SET);
  write(0x108, 5);
  write(0x10c, 7);
  assert.deepEqual([read(0x108), read(0x10c)], [5, 7]);
  write(0x108, 9);
  write(0x10c, 11);
  assert.deepEqual([read(0x108), read(0x10c)], [5, 7], "the period only");
});

Deno.test("hpet interrupts once for periods that the host was too late for, and stays in step", () => {
  const bench = new TestBench();
  const { hpet, lines } = build(bench);
  hpet.reset();
  hpet.write(0x100, 4, INT_ENB | PERIODIC | VAL_SET | MODE_32 | route(20));
  hpet.write(0x108, 4, 10_000);
  hpet.write(0x010, 4, ENABLE);
  bench.clock.ns = 1_050_000;
  bench.timers.run();
  assert.equal(lines[20]!.raised, 1);
  assert.equal(hpet.read(0x108, 4), 110_000);
  bench.advance(50_010);
  assert.equal(lines[20]!.raised, 2);
});

Deno.test("hpet interrupts at most every 50 us, however small the period; period 0 is none", () => {
  const { write, raised, advance } = start();
  write(0x100, INT_ENB | PERIODIC | VAL_SET | MODE_32 | route(20));
  write(0x108, 1);
  write(0x010, ENABLE);
  advance(1_000_000);
  assert.ok(raised()[0] >= 18 && raised()[0] <= 21, `${raised()[0]} in 1 ms`);
  write(0x108, 0);
  advance(1_000_000);
  const before = raised()[0];
  advance(1_000_000);
  assert.equal(raised()[0], before);
});

Deno.test("hpet legacy replacement leads comparators 0 and 1 to IRQ 0 and 8 (2.3.5)", () => {
  const { write, raised, legacy, legacyLines, advance } = start();
  for (const n of [0, 1, 2]) {
    write(0x100 + n * 0x20, INT_ENB | route(23));
    write(0x108 + n * 0x20, 1000 * (n + 1));
    write(0x10c + n * 0x20, 0);
  }
  write(0x010, LEGACY | ENABLE);
  assert.equal(legacy.active, 1);
  advance(50_000);
  assert.deepEqual(legacyLines.map((line) => line.raised), [1, 1]);
  assert.deepEqual(raised(), [0, 0, 0, 1]);
  write(0x010, ENABLE);
  assert.equal(legacy.active, 0);
});

Deno.test("hpet without INT_ENB compares but does not interrupt (2.3.8)", () => {
  const { read, write, levels, advance } = start();
  write(0x100, LEVEL | route(20));
  write(0x108, 1000);
  write(0x10c, 0);
  write(0x010, ENABLE);
  advance(20_000);
  assert.equal(read(0x020), 1);
  assert.equal(levels()[0], false);
  write(0x100, LEVEL | INT_ENB | route(20));
  assert.equal(levels()[0], true);
});

Deno.test("hpet's counter and comparators carry into their high halves", () => {
  const { read, write, raised, advance } = start();
  write(0x0f0, 0xffff_0000);
  write(0x0f4, 1);
  write(0x100, INT_ENB | route(20));
  write(0x108, 0x10);
  write(0x10c, 3);
  write(0x120, INT_ENB | PERIODIC | VAL_SET | route(21));
  write(0x128, 0xffff_8000);
  write(0x12c, 1);
  write(0x128, 0xffff_0000);
  write(0x12c, 0);
  write(0x010, ENABLE);
  advance((0x8000 + 2) * 10);
  assert.deepEqual(raised(), [0, 1, 0, 0]);
  assert.deepEqual([read(0x128), read(0x12c)], [0xfffe_8000, 2]);
  advance((2 ** 32 - 0x8000) * 10);
  assert.deepEqual([read(0x0f4), raised()[0]], [2, 0]);
  advance((0x1_0010 - 0x8000 + 0x8000) * 10);
  assert.deepEqual([read(0x0f4), raised()[0]], [3, 1]);
});

Deno.test("hpet's counter counts more than 2^32 while nobody looks", () => {
  const { read, write, advance } = start();
  write(0x010, ENABLE);
  advance((5 * 2 ** 32 + 7) * 10);
  assert.deepEqual([read(0x0f0), read(0x0f4)], [7, 5]);
});

Deno.test("hpet's registers are written 32 bits at a time (2.3.1)", () => {
  const { hpet, read } = start();
  hpet.write(0x010, 1, 1);
  hpet.write(0x010, 2, 1);
  assert.equal(read(0x010), 0);
});

Deno.test("hpet's status of a comparator that becomes edge-triggered is gone, others' stays", () => {
  const { read, write, advance } = start();
  for (const n of [0, 1]) {
    write(0x100 + n * 0x20, INT_ENB | LEVEL | route(20));
    write(0x108 + n * 0x20, 1000);
    write(0x10c + n * 0x20, 0);
  }
  write(0x010, ENABLE);
  advance(20_000);
  assert.equal(read(0x020), 3);
  write(0x100, INT_ENB | route(20));
  assert.equal(read(0x020), 2);
});

Deno.test("hpet that is halted interrupts no more, and goes on where it was", () => {
  const { write, raised, advance } = start();
  write(0x100, INT_ENB | route(20));
  write(0x108, 1000);
  write(0x10c, 0);
  write(0x010, ENABLE);
  advance(5_000);
  write(0x010, 0);
  advance(50_000);
  assert.equal(raised()[0], 0);
  write(0x010, ENABLE);
  advance(4_990);
  assert.equal(raised()[0], 0);
  advance(20);
  assert.equal(raised()[0], 1);
});

Deno.test("hpet compares with what is written while it counts", () => {
  const { write, raised, advance } = start();
  write(0x010, ENABLE);
  write(0x100, INT_ENB | route(20));
  write(0x10c, 0);
  write(0x108, 1000);
  write(0x12c, 1);
  write(0x128, 0);
  write(0x120, INT_ENB | route(21));
  advance(10_010);
  assert.deepEqual(raised(), [1, 0, 0, 0]);
  advance(2 ** 32 * 10);
  assert.deepEqual(raised(), [1, 1, 0, 0]);
});

Deno.test("hpet's period may be longer than 2^32", () => {
  const { read, write, advance } = start();
  write(0x100, PERIODIC | VAL_SET);
  write(0x108, 100);
  write(0x10c, 0);
  write(0x108, 5);
  write(0x10c, 2);
  write(0x010, ENABLE);
  advance(1_010);
  assert.deepEqual([read(0x108), read(0x10c)], [105, 2]);
});

Deno.test("hpet's reset lets its lines go and gives the 8254 its place back", () => {
  const { hpet, write, levels, legacy, advance } = start();
  write(0x140, INT_ENB | LEVEL | route(22));
  write(0x148, 100);
  write(0x14c, 0);
  write(0x010, LEGACY | ENABLE);
  advance(2_000);
  assert.deepEqual([levels()[2], legacy.active], [true, 1]);
  hpet.reset();
  assert.deepEqual([levels()[2], legacy.active], [false, 0]);
});
