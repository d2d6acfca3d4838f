import assert from "node:assert/strict";
import { NetworkLink } from "../../../devices/net/network_link.ts";
import { type Frame, type NetworkEnd, NO_OFFLOADS } from "../../../hv/core/net/network.ts";
import { frameOf, TestCard } from "./card.ts";

Deno.test("an end that makes room in its own turn is offered the frame that waited, or nobody would be woken", () => {
  const card = new TestCard();
  const sent: number[] = [];
  let room = 1;
  const end: NetworkEnd = {
    offloads: NO_OFFLOADS,
    send({ bytes }: Frame) {
      if (room === 0) return false;
      room--;
      sent.push(bytes[0]);
      return true;
    },
    serve() {
      // All that waited has gone: it will not become writable, it is.
      room = 1;
      return Infinity;
    },
    [Symbol.dispose]() {},
  };
  using link = new NetworkLink(card, end);
  for (const fill of [1, 2, 3]) card.queue(frameOf(fill));
  let turns = 0;
  while (link.serve(0) === 0) assert.ok(++turns < 10);
  assert.deepEqual(sent, [1, 2, 3]);
});
