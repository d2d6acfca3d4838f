import assert from "node:assert/strict";
import { VirtqueueFault } from "../../../../devices/virtio/queue/descriptor_chain.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { DESC, DISABLE, ENABLE, PackedDriver } from "./packed_driver.ts";
import type { Buffer } from "./split_driver.ts";
import { Echo, NEEDS_RESET, ready } from "../support.ts";

const INDIRECT_DESC = 28;
const EVENT_IDX = 29;
const RING_PACKED = 34;
const DATA = 0x8000;
const REPLY = 0x9000;

const echo = (features: readonly number[] = [], size = 8) => {
  const bench = new TestBench();
  const device = new Echo(bench);
  const made = ready(bench, device, {
    features: [RING_PACKED, ...features],
    size,
    makeDriver: (memory, base, size) => new PackedDriver(memory, base, size),
  });
  const serve = () => {
    made.core.notify(0);
    return made.core.serve(false);
  };
  const put = (address: number, text: string) =>
    bench.memory.view(address, text.length)!.set(new TextEncoder().encode(text));
  const text = (address: number, length: number) =>
    new TextDecoder().decode(bench.memory.view(address, length)!.slice());
  return { ...made, bench, device, serve, put, text };
};

const out = (address: number, length: number): Buffer => ({ address, length });
const into = (address: number, length: number): Buffer => ({ address, length, write: true });

Deno.test("a list of descriptors is one buffer, whose id is in its last one (2.8.6)", () => {
  const { driver, serve, put, text, transport } = echo();
  put(DATA, "abcdef");
  const id = driver.add(out(DATA, 2), out(DATA + 2, 4), into(REPLY, 1), into(REPLY + 0x100, 9));
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id, length: 6 }]);
  assert.equal(text(REPLY, 1) + text(REPLY + 0x100, 5), "ABCDEF");
  assert.equal(transport.take(), 1);
});

Deno.test("a used descriptor says whether anything was written (2.8.4)", () => {
  const { driver, serve } = echo();
  const id = driver.add(out(DATA, 2));
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id, length: 0 }]);
  assert.equal(driver.memory.readU16(driver.descriptors + 14) & 2, 0);
});

Deno.test("wrap counters go round, also within a list and in rings of any size (2.8.1)", () => {
  for (const size of [8, 7, 5]) {
    const { driver, serve, put, text } = echo([], size);
    for (let i = 0; i < 500; i++) {
      put(DATA, "xyz");
      const id = driver.add(out(DATA, 1), out(DATA + 1, 2), into(REPLY, 3));
      serve();
      assert.deepEqual(driver.takeUsed(), [{ id, length: 3 }], `size ${size}, buffer ${i}`);
      assert.equal(text(REPLY, 3), "XYZ");
    }
  }
});

Deno.test("an indirect table's descriptors follow each other, and only WRITE counts (2.8.7)", () => {
  const { driver, serve, put, text } = echo([INDIRECT_DESC]);
  put(DATA, "hello");
  const table = driver.indirect(0x7000, [out(DATA, 5), into(REPLY, 3), into(REPLY + 16, 3)]);
  // NEXT, AVAIL and USED in a table are ignored.
  driver.memory.writeU16(0x7000 + 14, 0x8081);
  const id = driver.add(table);
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id, length: 5 }]);
  assert.equal(text(REPLY, 3) + text(REPLY + 16, 2), "HELLO");
});

Deno.test("the driver's event suppression keeps interrupts away (2.8.10)", () => {
  const { driver, serve, transport } = echo();
  const one = () => {
    driver.add(into(REPLY, 1));
    serve();
    return transport.take();
  };
  driver.setDriverEvent(DISABLE);
  assert.equal(one(), 0);
  driver.setDriverEvent(ENABLE);
  assert.equal(one(), 1);
});

Deno.test("an event at a descriptor comes when that is used, also in the next round (2.8.10)", () => {
  const { driver, serve, transport } = echo([EVENT_IDX], 4);
  const some = (count: number) => {
    for (let i = 0; i < count; i++) driver.add(into(REPLY, 1));
    serve();
    driver.takeUsed();
    return transport.take();
  };
  driver.setDriverEvent(DESC, 2, true);
  assert.deepEqual([some(1), some(1), some(1), some(1)], [0, 0, 1, 0]);
  driver.setDriverEvent(DESC, 1, false);
  assert.deepEqual([some(1), some(1), some(1)], [0, 1, 0]);
  // Used 3 of this round, then 0 and 1 of the next.
  driver.setDriverEvent(DESC, 0, true);
  assert.equal(some(3), 1);
});

Deno.test("the device's event suppression asks for the next buffer when it has none (2.8.10)", () => {
  const { driver, serve, device, core } = echo([EVENT_IDX], 4);
  let during = -1;
  const serveQueue = device.serve.bind(device);
  device.serve = (queue) => {
    const chain = queue.pop();
    during = driver.deviceEvent.flags;
    if (chain !== undefined) queue.push(chain, 0);
    serveQueue(queue);
  };
  for (let i = 0; i < 3; i++) driver.add(into(REPLY, 1));
  serve();
  assert.equal(during, DISABLE);
  assert.deepEqual(driver.deviceEvent, { flags: DESC, position: 3, wrap: true });
  driver.takeUsed();
  driver.add(into(REPLY, 1));
  core.notify(0);
  core.serve(false);
  assert.deepEqual(driver.deviceEvent, { flags: DESC, position: 0, wrap: false });
});

Deno.test("without EVENT_IDX notifications are switched on and off (2.8.10)", () => {
  const { driver, serve, device } = echo();
  const flags: number[] = [];
  const serveQueue = device.serve.bind(device);
  device.serve = (queue) => {
    const chain = queue.pop();
    flags.push(driver.deviceEvent.flags);
    if (chain !== undefined) queue.push(chain, 0);
    serveQueue(queue);
  };
  driver.add(into(REPLY, 1));
  serve();
  assert.deepEqual(flags, [DISABLE]);
  assert.equal(driver.deviceEvent.flags, ENABLE);
});

/** What a malformed ring leads to. */
function fails(
  name: string,
  fault: VirtqueueFault,
  spoil: (driver: PackedDriver) => void,
  features: readonly number[] = [INDIRECT_DESC],
): void {
  Deno.test(`the device needs a reset after ${name}`, () => {
    const { core, driver, serve, transport } = echo(features);
    spoil(driver);
    serve();
    assert.equal(core.queueState(0)!.fault, fault);
    assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
    assert.equal(transport.configInterrupts, 1);
  });
}

fails("a list that never ends", VirtqueueFault.chainLength, (d) => {
  for (let i = 0; i < 8; i++) d.describe(d.descriptors + i * 16, out(DATA, 1), 0, 0x81);
});
fails("a buffer beyond RAM in a packed ring", VirtqueueFault.bufferAddress, (d) => {
  d.add(out(0x3_fff0, 0x11));
});
fails("a readable buffer behind a writable one in a packed ring", VirtqueueFault.order, (d) => {
  d.add(into(REPLY, 1), out(DATA, 1));
});
fails("an indirect descriptor in a list (2.8.19)", VirtqueueFault.indirect, (d) => {
  d.add(out(DATA, 1), d.indirect(0x7000, [into(REPLY, 1)]));
});
fails("an indirect table in a packed ring, not negotiated", VirtqueueFault.indirect, (d) => {
  d.add(d.indirect(0x7000, [into(REPLY, 1)]));
}, []);
fails("an indirect table longer than the queue", VirtqueueFault.chainLength, (d) => {
  d.add(d.indirect(0x7000, Array(9).fill(into(REPLY, 1))));
});
fails("an indirect table of half a descriptor", VirtqueueFault.indirect, (d) => {
  d.add({ address: 0x7000, length: 8, indirect: true });
});

Deno.test("a driver that makes more available than the ring holds gets no more taken", () => {
  const { core, driver, device } = echo();
  let kept = 0;
  device.serve = (queue) => {
    while (queue.pop() !== undefined) kept++;
  };
  const flood = (wrap: boolean) => {
    for (let i = 0; i < 8; i++) {
      driver.describe(driver.descriptors + i * 16, into(REPLY, 1), i, wrap ? 0x82 : 0x8002);
    }
    core.notify(0);
    core.serve(false);
  };
  flood(true);
  assert.equal(kept, 8);
  flood(false);
  assert.equal(kept, 8);
  assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
});
