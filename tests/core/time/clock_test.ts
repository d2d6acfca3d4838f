import assert from "node:assert/strict";
import { ClockState, GuestClock } from "../../../hv/core/time/clock.ts";

function clock() {
  const host = { ns: 5_000 };
  const state = new ClockState(new SharedArrayBuffer(ClockState.byteLength));
  return { host, state, clock: new GuestClock(state, () => host.ns) };
}

Deno.test("guest time begins at 0 and passes only while the clock runs", () => {
  const { host, clock: guest } = clock();
  assert.equal(guest.nowNs(), 0);
  host.ns += 100;
  assert.equal(guest.nowNs(), 0);
  guest.start();
  host.ns += 100;
  assert.equal(guest.nowNs(), 100);
  guest.stop();
  host.ns += 1_000_000;
  assert.equal(guest.nowNs(), 100);
  guest.start();
  host.ns += 1;
  assert.equal(guest.nowNs(), 101);
});

Deno.test("starting and stopping twice changes nothing", () => {
  const { host, clock: guest } = clock();
  guest.start();
  host.ns += 10;
  guest.start();
  assert.equal(guest.nowNs(), 10);
  guest.stop();
  host.ns += 10;
  guest.stop();
  assert.equal(guest.nowNs(), 10);
});

Deno.test("every thread's clock over the same state shows the same time", () => {
  const { host, state, clock: guest } = clock();
  const other = new GuestClock(state, () => host.ns);
  guest.start();
  host.ns += 77;
  assert.equal(other.nowNs(), 77);
});
