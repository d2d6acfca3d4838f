import assert from "node:assert/strict";
import { Arena } from "../../../hv/core/state/arena.ts";
import { GSI_COUNT, IrqLines } from "../../../hv/core/bus/irq.ts";

function lines(buffer = new SharedArrayBuffer(4096)) {
  const calls: [number, boolean][] = [];
  const irqs = new IrqLines(new Arena(buffer), {
    setIrq: (gsi, level) => calls.push([gsi, level]),
  });
  return { irqs, calls, buffer };
}

Deno.test("a line is high while any of its sources pulls it", () => {
  const { irqs, calls } = lines();
  const one = irqs.line(10);
  const two = irqs.line(10);
  one.set(true);
  two.set(true);
  one.set(false);
  assert.equal(irqs.level(10), true);
  two.set(false);
  assert.equal(irqs.level(10), false);
  assert.deepEqual(calls, [[10, true], [10, false]]);
});

Deno.test("pulling a line that is pulled already tells nobody", () => {
  const { irqs, calls } = lines();
  const line = irqs.line(4);
  line.set(false);
  line.set(true);
  line.set(true);
  assert.deepEqual(calls, [[4, true]]);
});

Deno.test("reset lets every line go, those of all sources", () => {
  const { irqs, calls } = lines();
  irqs.line(3).set(true);
  irqs.line(3).set(true);
  irqs.line(23).set(true);
  calls.length = 0;
  irqs.reset();
  assert.deepEqual(calls, [[3, false], [23, false]]);
});

Deno.test("another thread's lines are the same lines", () => {
  const { irqs, buffer } = lines();
  const other = lines(buffer);
  const line = irqs.line(5);
  const sameLine = other.irqs.line(5);
  line.set(true);
  sameLine.set(false);
  assert.equal(irqs.level(5), false);
  assert.deepEqual(other.calls, [[5, false]]);
});

Deno.test("a line has room for 32 sources, and there are 24 lines", () => {
  const { irqs } = lines();
  const sources = Array.from({ length: 32 }, () => irqs.line(11));
  assert.throws(() => irqs.line(11), /line 11/);
  assert.throws(() => irqs.line(GSI_COUNT), /line 24/);
  sources[31].set(true);
  assert.equal(irqs.level(11), true);
  sources[31].set(false);
  assert.equal(irqs.level(11), false);
});
