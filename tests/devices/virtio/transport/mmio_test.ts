import assert from "node:assert/strict";
import { VirtioCore, virtioState } from "../../../../devices/virtio/virtio_core.ts";
import {
  MmioRegister as R,
  VirtioMmio,
  VirtioMmioState,
} from "../../../../devices/virtio/transport/mmio.ts";
import { deviceContract } from "../../../support/contract.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { SplitDriver } from "../queue/split_driver.ts";
import { ACKNOWLEDGE, DRIVER, DRIVER_OK, Echo, FEATURES_OK, NEEDS_RESET } from "../support.ts";

const RING_RESET = 40;

function mmioOn(bench: TestBench) {
  const device = new Echo(bench);
  const core = new VirtioCore({
    state: bench.state(virtioState(device.queueSizes.length)),
    lock: bench.arena.lock("virtio"),
    memory: bench.memory,
    device,
    ring: () => {},
  });
  const line = bench.irq("line");
  const transport = new VirtioMmio(core, bench.state(VirtioMmioState), line);
  const window = {
    read: (offset: number, size: number) => core.lock.with(() => transport.read(offset, size)),
    write: (offset: number, size: number, value: number) =>
      core.lock.with(() => transport.write(offset, size, value)),
  };
  return { core, line, transport, window };
}

deviceContract("virtio mmio", (bench) => {
  const { core, transport, window } = mmioOn(bench);
  return {
    device: transport,
    ports: [
      { handler: window, length: 0x1000, sizes: [1, 2, 4] },
      { handler: window, length: 0x110, sizes: [4] },
    ],
    events: [() => void core.serve(true), (random) => core.notify(random.below(4))],
    likely: [
      { port: 1, offset: R.Status, size: 4, values: [0, 1, 3, 11, 15] },
      { port: 1, offset: R.DriverFeaturesSel, size: 4, values: [0, 1] },
      { port: 1, offset: R.DriverFeatures, size: 4, values: [1, 8] },
      { port: 1, offset: R.QueueSel, size: 4, values: [0, 1, 2] },
      { port: 1, offset: R.QueueSize, size: 4, values: [2, 4, 8, 9] },
      { port: 1, offset: R.QueueReady, size: 4, values: [0, 1] },
      { port: 1, offset: R.QueueDescLow, size: 4, values: [0x1000, 0x2001] },
      { port: 1, offset: R.QueueDriverLow, size: 4, values: [0x3000] },
      { port: 1, offset: R.QueueDeviceLow, size: 4, values: [0x5000] },
      { port: 1, offset: R.InterruptACK, size: 4, values: [1, 2, 3] },
    ],
  };
});

const started = () => {
  const bench = new TestBench();
  const { core, line, transport, window } = mmioOn(bench);
  transport.reset();
  const read = (offset: number) => window.read(offset, 4);
  const write = (offset: number, value: number) => window.write(offset, 4, value);
  /** Initialises the device as 4.2.3 says, with queue 0 and these of features 32 to 63. */
  const start = (high = 1) => {
    for (const status of [0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER]) write(R.Status, status);
    write(R.DriverFeaturesSel, 1);
    write(R.DriverFeatures, high);
    write(R.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    write(R.QueueSel, 0);
    const driver = new SplitDriver(bench.memory, 0x1000, read(R.QueueSizeMax));
    write(R.QueueSize, driver.size);
    write(R.QueueDescLow, driver.descriptors);
    write(R.QueueDescHigh, 0);
    write(R.QueueDriverLow, driver.available);
    write(R.QueueDriverHigh, 0);
    write(R.QueueDeviceLow, driver.used);
    write(R.QueueDeviceHigh, 0);
    write(R.QueueReady, 1);
    assert.equal(read(R.QueueReady), 1);
    write(R.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    return driver;
  };
  const notify = () => {
    write(R.QueueNotify, 0);
    core.serve(false);
  };
  return { bench, core, line, window, read, write, start, notify };
};

Deno.test('a driver finds "virt", version 2, the device and its vendor (4.2.2)', () => {
  const { read } = started();
  assert.deepEqual(
    [read(R.MagicValue), read(R.Version), read(R.DeviceID), read(R.VendorID)],
    [0x7472_6976, 2, 4, 0x4d4d_5648],
  );
});

Deno.test("features are read by halves, and there is no queue beyond the last (4.2.2)", () => {
  const { read, write } = started();
  write(R.DeviceFeaturesSel, 1);
  assert.equal(read(R.DeviceFeatures) & 1, 1, "VERSION_1");
  write(R.DeviceFeaturesSel, 0);
  assert.equal(read(R.DeviceFeatures) & 8, 8);
  write(R.QueueSel, 2);
  assert.equal(read(R.QueueSizeMax), 0);
  assert.equal(read(R.SHMLenLow), 0xffff_ffff, "there is no shared memory (4.2.2.1)");
});

Deno.test("a used buffer pulls the line until that is acknowledged (4.2.2, 4.2.3.4)", () => {
  const { read, write, start, notify, line } = started();
  const driver = start();
  const id = driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  assert.deepEqual(driver.takeUsed(), [{ id, length: 0 }]);
  assert.equal(read(R.InterruptStatus), 1);
  assert.equal(line.level, true);
  write(R.InterruptACK, 1);
  assert.equal(read(R.InterruptStatus), 0);
  assert.equal(line.level, false);
});

Deno.test("what is not acknowledged pulls the line anew, for who waits for an edge", () => {
  const { read, write, start, notify, line } = started();
  const driver = start();
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  driver.publish(77);
  notify();
  assert.equal(read(R.InterruptStatus), 3, "used buffers, and NEEDS_RESET");
  assert.equal(read(R.Status) & NEEDS_RESET, NEEDS_RESET);
  const { raised } = line;
  write(R.InterruptACK, 1);
  assert.equal(line.level, true);
  assert.equal(line.raised, raised + 1);
  write(R.InterruptACK, 2);
  assert.equal(line.level, false);
});

Deno.test("a queue is taken back by QueueReady 0, and by QueueReset where that is accepted", () => {
  const { read, write, start } = started();
  start();
  write(R.QueueReset, 1);
  assert.equal(read(R.QueueReady), 1, "not without RING_RESET");
  write(R.QueueReady, 0);
  assert.equal(read(R.QueueReady), 0);
  start(1 | 1 << (RING_RESET - 32));
  write(R.QueueReset, 1);
  assert.deepEqual([read(R.QueueReset), read(R.QueueReady)], [0, 0]);
});

Deno.test("the configuration is accessed at any width, registers at 32 bits (4.2.2.2)", () => {
  const { window, core, read } = started();
  window.write(R.Config + 2, 1, 0xab);
  window.write(R.Config + 4, 2, 0x1234);
  assert.equal(read(R.Config), 0x00ab_0000);
  assert.equal(window.read(R.Config + 4, 2), 0x1234);
  window.write(R.Status, 1, 1);
  assert.equal(core.status, 0);
  assert.equal(window.read(R.MagicValue, 2), 0);
});

Deno.test("a reset by the driver lets the line go (4.2.3.1)", () => {
  const { read, write, start, notify, line } = started();
  const driver = start();
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  write(R.Status, 0);
  assert.deepEqual([read(R.Status), read(R.InterruptStatus), line.level], [0, 0, false]);
});
