import assert from "node:assert/strict";
import { VirtioRng } from "../../../devices/virtio/virtio_rng.ts";
import { TestBench } from "../../support/test_bench.ts";
import { NEEDS_RESET, ready } from "./support.ts";

const BUFFER = 0x8000;

/** A device whose random bytes are 1, 2, 3…, with its driver. */
function entropy() {
  const bench = new TestBench();
  let last = 0;
  const rng = new VirtioRng((bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = ++last;
  });
  const made = ready(bench, rng);
  const serve = () => {
    made.core.notify(0);
    made.core.serve(false);
  };
  return { ...made, memory: bench.memory, serve };
}

Deno.test("an entropy device is number 4, with one queue and no configuration (5.4.1 to 5.4.4)", () => {
  const { core } = entropy();
  assert.equal(core.device.id, 4);
  assert.deepEqual([core.queueMaxSize(0), core.queueMaxSize(1)], [8, 0]);
  assert.equal(core.deviceFeatures(0) & 0xff_ffff, 0, "no features of its own");
});

Deno.test("every buffer is filled with random bytes, and one interrupt tells of all (5.4.6)", () => {
  const { driver, memory, serve, transport } = entropy();
  driver.add({ address: BUFFER, length: 4, write: true });
  driver.add({ address: BUFFER + 16, length: 2, write: true }, {
    address: BUFFER + 32,
    length: 1,
    write: true,
  });
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id: 0, length: 4 }, { id: 1, length: 3 }]);
  assert.deepEqual([...memory.view(BUFFER, 5)!], [1, 2, 3, 4, 0]);
  assert.deepEqual([...memory.view(BUFFER + 16, 3)!], [5, 6, 0]);
  assert.deepEqual([...memory.view(BUFFER + 32, 2)!], [7, 0]);
  assert.equal(transport.take(), 1);
});

Deno.test("a large buffer gets 4 KiB: less than was asked for is allowed (5.4.6.2)", () => {
  const { driver, memory, serve } = entropy();
  driver.add({ address: BUFFER, length: 0x1_0000, write: true });
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id: 0, length: 4096 }]);
  assert.equal(memory.readU8(BUFFER + 4096), 0);
});

Deno.test("a buffer that the device cannot write has no answer: the device needs a reset", () => {
  const { core, driver, serve } = entropy();
  driver.add({ address: BUFFER, length: 64 });
  serve();
  assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
  assert.deepEqual(driver.takeUsed(), []);
});
