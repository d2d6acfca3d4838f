/** Requests of a hostile driver to an entropy device. */

import assert from "node:assert/strict";
import { VirtioRng } from "../../../../../devices/virtio/virtio_rng.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

/** Room for random bytes. */
export const rngRequest: MakeRequest = (random, _queue, memory) =>
  Array.from(
    { length: 1 + random.below(3) },
    () => memory.take(random.pick([1, 64, 0x1000, 0x4000]), true),
  );

/** A virtio entropy device whose host has one number. */
export const rng: MakeSubject = () => ({
  device: new VirtioRng((bytes) => bytes.fill(0x5a)),
  mayReject: (_queue, { writableBytes }) => writableBytes === 0,
  request: rngRequest,
  check: (exchange, memory) => {
    const room = memory.take(64, true);
    memory.bytes(room).fill(0);
    assert.equal(exchange(0, room), 64);
    assert.ok(memory.bytes(room).every((byte) => byte === 0x5a));
  },
});
