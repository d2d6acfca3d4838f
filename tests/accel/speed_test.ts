/** Speeds measured on a host that has other things to do: what is told of them, and what is decided. */

import assert from "node:assert/strict";
import { measureSpeed, showSpeed } from "../../hv/accel/speed.ts";
import { isNative } from "../../hv/accel/kvm/probe.ts";

const RUNS = { runs: 9, budgetMs: 150 };

/**
 * A processor of `mips`, whose exits take `exitUs`, on a host that takes it away for so long (µs) in each
 * run in turn.
 */
function processor(mips: number, { exitUs = 2, awayUs = [0] } = {}) {
  const runs: number[] = [];
  const measure = (rounds: number) => {
    const instructions = rounds * 2;
    const us = instructions / mips + exitUs + awayUs[runs.length % awayUs.length];
    runs.push(us);
    return instructions * 1e6 / us;
  };
  return { runs, measure };
}

Deno.test("a run is made longer until an exit is little beside it", () => {
  const { measure } = processor(2000, { exitUs: 50 });
  const { worst, best } = measureSpeed(measure, RUNS);
  assert.ok(worst > 1500e6 && best < 2000e6, `${worst} ${best}`);
});

Deno.test("a busy host makes neither hardware of an emulator nor the reverse", () => {
  const busy = [0, 8000, 8000, 0, 8000, 16_000, 8000, 8000, 4000];
  for (let start = 0; start < busy.length; start++) {
    const awayUs = [...busy.slice(start), ...busy.slice(0, start)];
    const of = (mips: number, exitUs: number) =>
      isNative(measureSpeed(processor(mips, { exitUs, awayUs }).measure, RUNS));
    for (const exitUs of [1, 50, 200]) {
      for (const mips of [300, 1000, 5000]) assert.ok(of(mips, exitUs), `${mips} ${awayUs}`);
      for (const mips of [0.05, 0.8, 2, 6]) assert.ok(!of(mips, exitUs), `${mips} ${awayUs}`);
    }
  }
});

Deno.test("however slow the host, measuring takes a bounded time", () => {
  for (const mips of [0.01, 0.1, 1, 10, 100, 1000, 10_000]) {
    const { measure, runs } = processor(mips);
    measureSpeed(measure, RUNS);
    const longest = Math.max(...runs);
    const sum = runs.reduce((total, us) => total + us, 0);
    assert.ok(sum < Math.max(150_000 + longest, 3 * longest + 1), `${mips}: ${sum}`);
    assert.ok(runs.length >= 3);
  }
});

Deno.test("one figure where the runs agree, the median and the range where they do not", () => {
  assert.equal(showSpeed({ best: 1.3e6, median: 1.24e6, worst: 1.15e6 }), "1.2");
  assert.equal(showSpeed({ best: 1.5e6, median: 1.3e6, worst: 0.1e6 }), "1.3 (0.1 to 1.5)");
  assert.equal(showSpeed({ best: 5e9, median: 4e9, worst: 1e9 }), "4000 (1000 to 5000)");
  assert.equal(showSpeed({ best: 0.2e6, median: 0.15e6, worst: 0.073e6 }), "0.1 (0.07 to 0.2)");
});

Deno.test("the median of an even number of runs is between the middle two", () => {
  const speeds = [4, 1, 3, 2].map((mips) => mips * 1e6);
  let at = 0;
  const { median } = measureSpeed(() => speeds[at++], { runs: 4, budgetMs: 150 });
  assert.equal(median, 2.5e6);
});
