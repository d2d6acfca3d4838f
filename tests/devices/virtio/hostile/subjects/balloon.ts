/** Requests of a hostile driver to a balloon: page numbers and ranges anywhere, statistics of any kind. */

import assert from "node:assert/strict";
import {
  VirtioBalloon,
  VirtioBalloonState,
} from "../../../../../devices/virtio/balloon/virtio_balloon.ts";
import { f64, record } from "../../../../../hv/core/state/record.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

const INFLATE = 0;
const DEFLATE = 1;
const STATS = 2;
const HostState = record("test.balloon host", 1, { discarded: f64 });

/** Page numbers, ranges, statistics. */
export const balloonRequest: MakeRequest = (random, queue, memory) => {
  if (queue > STATS || (queue === STATS && random.chance(40))) {
    return Array.from(
      { length: 1 + random.below(4) },
      () => memory.take(random.pick([1, 0x1000, 0x2345, 0x4000]), true),
    );
  }
  const words = new Uint32Array(random.below(queue === STATS ? 300 : 1100))
    .map(() => random.chance(60) ? random.below(18) : random.u32());
  return [memory.put(new Uint8Array(words.buffer))];
};

/** A virtio balloon whose host only counts what comes back to it. */
export const balloon: MakeSubject = (bench) => {
  const device = new VirtioBalloon(bench.state(VirtioBalloonState));
  const host = bench.state(HostState);
  device.discard = (address, length) => {
    assert.ok(address % 4096 === 0 && length % 4096 === 0 && length > 0, "whole pages");
    if (bench.memory.offsetOf(address, length) < 0) return false;
    host.discarded += length;
    return true;
  };
  return {
    device,
    host: (random) => {
      if (random.chance(50)) device.askForStatistics();
      else device.wantedBytes = random.below(2) * 4096 * random.u32();
    },
    mayReject: () => false,
    request: balloonRequest,
    check: (exchange, memory) => {
      const before = device.returnedBytes;
      const page = memory.put(Uint8Array.of(3, 0, 0, 0));
      assert.equal(exchange(INFLATE, page), 0);
      assert.equal(device.returnedBytes - before, 4096);
      assert.equal(exchange(DEFLATE, page), 0);
      assert.equal(device.returnedBytes - before, 4096);
    },
  };
};
