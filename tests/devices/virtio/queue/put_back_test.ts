/** Buffers that a device leaves in their queue after a look at them. */

import assert from "node:assert/strict";
import type { VirtioDevice } from "../../../../devices/virtio/virtio_device.ts";
import type { Virtqueue } from "../../../../devices/virtio/queue/virtqueue.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { PackedDriver } from "./packed_driver.ts";
import { ready } from "../support.ts";

const RING_PACKED = 34;
const IN_ORDER = 35;
const DATA = 0x8000;

/** Takes `appetite` buffers, looks at one more, and leaves that. */
class Reluctant implements VirtioDevice {
  readonly id = 4;
  readonly features = [];
  readonly queueSizes = [8];
  readonly config = new Uint8Array(0);
  appetite = 0;
  readonly seen: number[] = [];
  readonly #byte = new Uint8Array(1);
  reset(): void {}
  serve(queue: Virtqueue): void {
    let left = this.appetite;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (left-- === 0) return queue.putBack(chain);
      chain.read(0, this.#byte);
      this.seen.push(this.#byte[0]);
      queue.push(chain, 0);
    }
  }
}

const RINGS = { split: [], packed: [RING_PACKED], "packed, in order": [RING_PACKED, IN_ORDER] };
for (const [name, features] of Object.entries(RINGS)) {
  Deno.test(`a buffer that is put back is taken again, first and once (${name})`, () => {
    const bench = new TestBench();
    const device = new Reluctant();
    const { core, driver } = features.length === 0 ? ready(bench, device) : ready(bench, device, {
      features,
      size: 7,
      makeDriver: (memory, base, size) => new PackedDriver(memory, base, size),
    });
    const expected: number[] = [];
    for (let round = 0; round < 100; round++) {
      for (const number of [round * 2 & 0xff, round * 2 + 1 & 0xff]) {
        bench.memory.writeU8(DATA + number, number);
        // Two descriptors each: in a ring of 7 they wrap around in the middle.
        driver.add({ address: DATA + number, length: 1 }, { address: DATA, length: 1 });
        expected.push(number);
      }
      core.notify(0);
      for (const appetite of [0, 1, 0, 1]) {
        device.appetite = appetite;
        core.serve(false);
        assert.equal(core.queueState(0)!.inFlight, 0);
        core.revisit(0);
      }
      assert.equal(driver.takeUsed().length, 2);
    }
    assert.deepEqual(device.seen, expected);
  });
}

Deno.test("a queue of which everything is put back is not served again by itself", () => {
  const bench = new TestBench();
  const device = new Reluctant();
  const { core, driver } = ready(bench, device, { size: 1 });
  driver.add({ address: DATA, length: 1 });
  core.notify(0);
  assert.equal(core.serve(false), false);
});
