/** Requests of a hostile driver to a shared directory whose server gives messages back. */

import assert from "node:assert/strict";
import { Virtio9p } from "../../../../../devices/virtio/virtio_9p.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

/** A message in two pieces, and room for the reply. */
export const p9Request: MakeRequest = (random, _queue, memory) => {
  const message = Uint8Array.from({ length: 7 + random.below(64) }, () => random.u32());
  const room = random.pick([7, 11, 64, 0x1000, 0x4000]);
  return [memory.put(message), memory.put(message), memory.take(room, true)];
};

/**
 * A virtio 9P transport; the server behind it has its own tests (tests/devices/9p). This one gives no
 * answer to what begins with FFh.
 */
export const p9: MakeSubject = () => {
  const device = new Virtio9p("src");
  let answered = false;
  device.server = {
    serve(request, reply) {
      answered = request.length > 0 && reply.length > 0 && request[0] !== 0xff;
      if (!answered) return 0;
      reply.set(request.subarray(0, reply.length));
      return Math.min(request.length, reply.length);
    },
  };
  return {
    device,
    mayReject: () => !answered,
    request: p9Request,
    check: (exchange, memory) => {
      const reply = memory.take(16, true);
      memory.bytes(reply).fill(0xee);
      assert.equal(exchange(0, memory.put(Uint8Array.of(1, 2, 3)), reply), 3);
      assert.deepEqual([...memory.bytes(reply).subarray(0, 4)], [1, 2, 3, 0xee]);
    },
  };
};
