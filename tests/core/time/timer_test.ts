import assert from "node:assert/strict";
import { Arena } from "../../../hv/core/state/arena.ts";
import { Timers } from "../../../hv/core/time/timer.ts";
import { FakeClock } from "../../support/test_bench.ts";

function timers() {
  const arena = new Arena(new SharedArrayBuffer(4096));
  const clock = new FakeClock();
  const wakes: number[] = [];
  const all = new Timers(arena, clock, (ns) => wakes.push(ns));
  const lock = arena.lock("device");
  return { clock, wakes, all, timer: (name: string) => all.create(name, lock) };
}

Deno.test("a timer fires once, at its deadline, for each time it is armed", () => {
  const { clock, all, timer } = timers();
  const one = timer("one");
  let fired = 0;
  one.onExpire = () => fired++;
  one.arm(100);
  clock.ns = 99;
  assert.equal(all.run(), 100);
  assert.equal(fired, 0);
  clock.ns = 100;
  assert.equal(all.run(), Infinity);
  clock.ns = 500;
  all.run();
  assert.equal(fired, 1);
});

Deno.test("run gives the next deadline of all, also of what was armed on expiry", () => {
  const { clock, all, timer } = timers();
  const periodic = timer("periodic");
  periodic.onExpire = () => periodic.arm(clock.ns + 50);
  periodic.arm(10);
  timer("late").arm(1000);
  clock.ns = 10;
  assert.equal(all.run(), 60);
  assert.equal(periodic.deadlineNs, 60);
});

Deno.test("a timer that has been taken back does not fire", () => {
  const { clock, all, timer } = timers();
  const one = timer("one");
  one.onExpire = () => assert.fail("fired");
  one.arm(10);
  one.disarm();
  clock.ns = 20;
  assert.equal(all.run(), Infinity);
  assert.equal(one.deadlineNs, 0);
});

Deno.test("arming wakes whoever sleeps until the next deadline; the past means at once", () => {
  const { wakes, all, timer } = timers();
  const one = timer("one");
  let fired = 0;
  one.onExpire = () => fired++;
  one.arm(30);
  one.arm(-5);
  assert.deepEqual(wakes, [30, 1]);
  assert.equal(all.run(), 1);
  assert.equal(fired, 0);
});

Deno.test("a timer fires under its device's lock, which is free again afterwards", () => {
  const arena = new Arena(new SharedArrayBuffer(4096));
  const clock = new FakeClock();
  const all = new Timers(arena, clock, () => {});
  const one = all.create("one", arena.lock("device"));
  const section = arena.sections.find(({ name }) => name === "device.lock")!;
  const word = new Int32Array(arena.buffer, section.offset, 1);
  const seen: number[] = [];
  one.onExpire = () => {
    seen.push(word[0]);
    throw new Error("a fault of the host");
  };
  one.arm(1);
  clock.ns = 1;
  assert.throws(() => all.run(), /a fault of the host/);
  seen.push(word[0]);
  assert.deepEqual(seen, [1, 0]);
});

Deno.test("a timer that has been removed neither fires nor is waited for", () => {
  const { clock, all, timer } = timers();
  const gone = timer("gone");
  gone.onExpire = () => assert.fail("fired");
  gone.arm(10);
  timer("other").arm(30);
  all.remove(gone);
  clock.ns = 20;
  assert.equal(all.run(), 30);
});
