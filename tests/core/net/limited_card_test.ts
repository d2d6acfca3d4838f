/** A network card with limits. */

import assert from "node:assert/strict";
import { LimitedCard } from "../../../hv/core/net/limited_card.ts";
import { PLAIN } from "../../../hv/core/net/network.ts";
import { RateLimit, RateLimitState } from "../../../hv/core/time/rate_limit.ts";
import { frameOf, TestCard } from "../../devices/net/card.ts";
import { TestBench } from "../../support/test_bench.ts";

Deno.test("a card may send and receive so many bytes a second, each way by itself", () => {
  const bench = new TestBench();
  const limit = (name: string) =>
    new RateLimit({ bytesPerSecond: 10_000 }, {
      state: bench.state(RateLimitState, name),
      clock: bench.clock,
      timer: bench.timer(name),
    });
  let wakes = 0;
  const inner = new TestCard();
  const card = new LimitedCard(inner, limit("out"), limit("in"), () => wakes++);
  let [sent, received] = [0, 0];
  for (let tenth = 0; tenth < 50; tenth++) {
    inner.toSend.length = 0;
    for (let i = 0; i < 50; i++) inner.queue(frameOf(1, 100));
    while (card.fetch() !== undefined) sent++;
    while (card.receive({ bytes: frameOf(2, 500), offload: PLAIN })) received++;
    bench.advance(1e8);
  }
  // Five seconds and what may be done at once.
  assert.ok(sent >= 500 && sent <= 520, `${sent} frames of 100 bytes were sent`);
  assert.ok(received >= 100 && received <= 105, `${received} frames of 500 bytes came`);
  assert.ok(wakes > 0, "the worker is woken when more may be done");
});

Deno.test("what a limited card has no room for is not counted", () => {
  const bench = new TestBench();
  const parts = { clock: bench.clock, timer: bench.timer(), state: bench.state(RateLimitState) };
  const limit = new RateLimit({ bytesPerSecond: 1000 }, parts);
  const inner = new TestCard();
  inner.room = 0;
  const card = new LimitedCard(inner, limit, limit, () => {});
  for (let i = 0; i < 100; i++) {
    assert.equal(card.receive({ bytes: frameOf(1), offload: PLAIN }), false);
  }
  inner.room = 1;
  assert.ok(card.receive({ bytes: frameOf(1), offload: PLAIN }));
});
