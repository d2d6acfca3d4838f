import assert from "node:assert/strict";
import type { DescriptorChain } from "../../../devices/virtio/queue/descriptor_chain.ts";
import type { Virtqueue } from "../../../devices/virtio/queue/virtqueue.ts";
import { TestBench } from "../../support/test_bench.ts";
import {
  ACKNOWLEDGE,
  coreOn,
  DRIVER,
  DRIVER_OK,
  Echo,
  FEATURES_OK,
  NEEDS_RESET,
  negotiate,
  place,
  ready,
} from "./support.ts";
import { PackedDriver } from "./queue/packed_driver.ts";
import { SplitDriver } from "./queue/split_driver.ts";

const REPLY = { address: 0x9000, length: 1, write: true };

const fresh = () => {
  const bench = new TestBench();
  const made = coreOn(bench, new Echo(bench));
  made.core.reset();
  return { bench, ...made };
};

Deno.test("FEATURES_OK stays clear when the driver accepts what was not offered (3.1.1)", () => {
  const { core } = fresh();
  negotiate(core, [4]);
  assert.equal(core.status, ACKNOWLEDGE | DRIVER);
});

Deno.test("FEATURES_OK stays clear without VERSION_1 (6.1)", () => {
  const { core } = fresh();
  core.status = ACKNOWLEDGE | DRIVER;
  core.acceptFeatures(0, 1 << 3);
  core.status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
  assert.equal(core.status, ACKNOWLEDGE | DRIVER);
});

Deno.test("features are settled once FEATURES_OK is set (2.2, 3.1.1)", () => {
  const { core } = fresh();
  negotiate(core, [3]);
  assert.equal(core.status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  core.acceptFeatures(0, 0xffff_ffff);
  assert.equal(core.driverFeatures(0), 1 << 3);
  assert.ok(core.accepted(3) && core.accepted(32) && !core.accepted(28));
});

Deno.test("a driver neither clears status bits nor sets DEVICE_NEEDS_RESET (2.1.1)", () => {
  const { core } = fresh();
  core.status = ACKNOWLEDGE | DRIVER;
  core.status = ACKNOWLEDGE | NEEDS_RESET;
  assert.equal(core.status, ACKNOWLEDGE | DRIVER);
});

Deno.test("no buffer is touched before DRIVER_OK (2.1)", () => {
  const { bench, core } = fresh();
  negotiate(core, []);
  const driver = new SplitDriver(bench.memory, 0x1000, 8);
  place(core, 0, driver);
  driver.add(REPLY);
  core.notify(0);
  core.serve(true);
  assert.equal(driver.usedIndex, 0);
  core.status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
  core.serve(false);
  assert.equal(driver.usedIndex, 1, "what was added before is served then");
});

Deno.test("a queue's size is a power of two up to its largest, and fixed when enabled (2.7)", () => {
  const { bench, core } = fresh();
  assert.equal(core.queueState(0)!.size, 8);
  for (const size of [0, 3, 16, 6]) core.setQueueSize(0, size);
  assert.equal(core.queueState(0)!.size, 8);
  core.setQueueSize(0, 4);
  place(core, 0, new SplitDriver(bench.memory, 0x1000, 2));
  assert.equal(core.queueState(0)!.size, 2);
  core.setQueueSize(0, 8);
  core.setQueueAddress(0, "descriptors", 0, 0);
  assert.equal(core.queueState(0)!.size, 2);
  assert.equal(core.queueState(0)!.descriptors[0], 0x1000);
});

Deno.test("a ring outside of RAM or not aligned is not enabled (2.7)", () => {
  for (const at of [0x4_0000, 0x3_ffc0, 0x1008, 2 ** 32 - 4096]) {
    const { bench, core, transport } = fresh();
    negotiate(core, []);
    const driver = new SplitDriver(bench.memory, 0x1000, 8);
    core.setQueueAddress(0, "driverArea", 0, driver.available);
    core.setQueueAddress(0, "deviceArea", 0, driver.used);
    core.setQueueAddress(0, "descriptors", 0, at);
    core.enableQueue(0);
    assert.equal(core.queueState(0)!.enabled, false, `at ${at.toString(16)}`);
    assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
    assert.equal(transport.configInterrupts, 0, "not before DRIVER_OK (2.1.2)");
  }
});

Deno.test("what a device leaves in its queue is asked for again only when something is new", () => {
  const bench = new TestBench();
  const device = new Echo(bench);
  const { core, driver } = ready(bench, device);
  device.idle = true;
  driver.add(REPLY);
  core.notify(0);
  assert.equal(core.serve(false), false);
  device.idle = false;
  assert.equal(core.serve(false), false);
  assert.equal(driver.usedIndex, 0);
  core.revisit(0);
  core.serve(false);
  assert.equal(driver.usedIndex, 1);
});

Deno.test("where the doorbell does not say whose it was, queues are looked into", () => {
  const bench = new TestBench();
  const { core, drivers: [, second] } = ready(bench, new Echo(bench));
  second.add(REPLY);
  core.serve(false);
  assert.equal(second.usedIndex, 0);
  core.serve(true);
  assert.equal(second.usedIndex, 1);
});

/** A device that keeps what it takes, as one does that waits for the host. */
class Keeper extends Echo {
  readonly kept: { queue: Virtqueue; chain: DescriptorChain }[] = [];
  override serve(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      this.kept.push({ queue, chain });
    }
  }
}

Deno.test("a reset is over when the buffers in flight are back, and nothing is used by then (2.4.1)", () => {
  const bench = new TestBench();
  const device = new Keeper(bench);
  const { core, driver, transport } = ready(bench, device);
  driver.add(REPLY);
  driver.add(REPLY);
  core.notify(0);
  core.serve(false);
  core.status = 0;
  assert.notEqual(core.status, 0);
  assert.ok(!core.isLive);
  const [first, second] = device.kept;
  first.queue.push(first.chain, 1);
  assert.notEqual(core.status, 0);
  second.queue.push(second.chain, 1);
  assert.equal(core.status, 0);
  assert.equal(driver.usedIndex, 0);
  first.queue.signal();
  assert.equal(transport.take(), 0);
});

Deno.test("buffers come back in any order (2.7.8)", () => {
  const bench = new TestBench();
  const device = new Keeper(bench);
  const { core, driver, transport } = ready(bench, device);
  const heads = [0, 1, 2].map(() => driver.add(REPLY));
  core.notify(0);
  core.serve(false);
  const [a, b, c] = device.kept;
  for (const { queue, chain } of [c, a, b]) queue.push(chain, 1);
  a.queue.signal();
  assert.deepEqual(driver.takeUsed().map(({ id }) => id), [heads[2], heads[0], heads[1]]);
  assert.equal(transport.take(), 1);
});

Deno.test("the configuration's generation changes with it, and the driver is told (2.5.1)", () => {
  const bench = new TestBench();
  const { core, transport } = ready(bench, new Echo(bench));
  core.writeConfig(2, 2, 0x1234);
  assert.equal(core.readConfig(0, 4), 0x1234_0000);
  core.writeConfig(6, 4, 0xffff_ffff);
  assert.equal(core.readConfig(4, 4), 0, "beyond its end nothing is written");
  const before = core.configGeneration;
  core.configChanged();
  assert.equal(core.configGeneration, before + 1);
  assert.equal(transport.configInterrupts, 1);
});

const IN_ORDER = 35;
const RING_PACKED = 34;
const RING_RESET = 40;

for (const [form, features] of [["split", []], ["packed", [RING_PACKED]]] as const) {
  const start = (more: readonly number[]) => {
    const bench = new TestBench();
    const device = new Keeper(bench);
    const options = { features: [...features, ...more] };
    const made = form === "split" ? ready(bench, device, options) : ready(bench, device, {
      ...options,
      makeDriver: (memory, base, size) => new PackedDriver(memory, base, size),
    });
    return { ...made, device };
  };

  Deno.test(`with IN_ORDER buffers come back as they were made available (2.7.9), ${form}`, () => {
    const { core, driver, device } = start([IN_ORDER]);
    const ids = [0, 1, 2].map(() => driver.add(REPLY));
    core.notify(0);
    core.serve(false);
    const [a, b, c] = device.kept;
    c.queue.push(c.chain, 1);
    b.queue.push(b.chain, 1);
    assert.deepEqual(driver.takeUsed(), []);
    a.queue.push(a.chain, 1);
    assert.deepEqual(driver.takeUsed().map(({ id }) => id), ids);
  });

  Deno.test(`a queue is reset alone, when its buffers are back (2.6.1), ${form}`, () => {
    const { core, drivers: [first, second], device } = start([RING_RESET]);
    first.add(REPLY);
    second.add(REPLY);
    for (const queue of [0, 1]) core.notify(queue);
    core.serve(false);
    core.takeQueueBack(0);
    assert.deepEqual([core.queueState(0)!.resetting, core.queueState(0)!.enabled], [true, true]);
    first.add(REPLY);
    core.notify(0);
    core.serve(false);
    assert.equal(device.kept.length, 2, "nothing more is taken");
    for (const { queue, chain } of device.kept) queue.push(chain, 1);
    assert.deepEqual([core.queueState(0)!.resetting, core.queueState(0)!.enabled], [false, false]);
    assert.deepEqual(first.takeUsed(), []);
    assert.equal(second.takeUsed().length, 1, "the other queue goes on");
    const again = form === "split"
      ? new SplitDriver(first.memory, 0xa000, 4)
      : new PackedDriver(first.memory, 0xa000, 4);
    place(core, 0, again);
    const id = again.add(REPLY);
    core.notify(0);
    core.serve(false);
    const { queue, chain } = device.kept[2];
    queue.push(chain, 1);
    assert.deepEqual(again.takeUsed(), [{ id, length: 1 }]);
  });
}

Deno.test("a packed queue may have any size (2.8.10.1)", () => {
  const { core } = fresh();
  negotiate(core, [RING_PACKED]);
  core.setQueueSize(0, 6);
  assert.equal(core.queueState(0)!.size, 6);
});

Deno.test("a driver that skips FEATURES_OK cannot change its queues' form while they are used", () => {
  const { core } = fresh();
  core.status = ACKNOWLEDGE | DRIVER;
  core.acceptFeatures(1, 1);
  core.status = ACKNOWLEDGE | DRIVER | DRIVER_OK;
  core.acceptFeatures(1, 1 | (1 << (RING_PACKED - 32)));
  assert.equal(core.driverFeatures(1), 1);
});

Deno.test("a thread that is wanted elsewhere takes no more buffers, and finds them when it is back", () => {
  const bench = new TestBench();
  const device = new Echo(bench);
  let isWanted = false;
  const { core, driver } = ready(bench, device, { mustYield: () => isWanted });
  for (let i = 0; i < 3; i++) driver.add(REPLY);
  core.notify(0);
  isWanted = true;
  assert.equal(core.serve(false), true, "there is more");
  assert.equal(driver.usedIndex, 0);
  isWanted = false;
  assert.equal(core.serve(false), false);
  assert.equal(driver.usedIndex, 3);
});
