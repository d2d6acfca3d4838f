import assert from "node:assert/strict";
import { VirtqueueFault } from "../../../../devices/virtio/queue/descriptor_chain.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { Echo, NEEDS_RESET, ready } from "../support.ts";
import type { Buffer, SplitDriver } from "./split_driver.ts";

const INDIRECT_DESC = 28;
const EVENT_IDX = 29;
const DATA = 0x8000;
const REPLY = 0x9000;

const echo = (features: readonly number[] = []) => {
  const bench = new TestBench();
  const device = new Echo(bench);
  const made = ready(bench, device, { features });
  const put = (address: number, text: string) =>
    bench.memory.view(address, text.length)!.set(new TextEncoder().encode(text));
  const text = (address: number, length: number) =>
    new TextDecoder().decode(bench.memory.view(address, length)!.slice());
  const serve = () => {
    made.core.notify(0);
    return made.core.serve(false);
  };
  return { ...made, bench, device, put, text, serve };
};

const out = (address: number, length: number): Buffer => ({ address, length });
const into = (address: number, length: number): Buffer => ({ address, length, write: true });

Deno.test("a chain of several descriptors is one buffer, wherever it is cut (2.6.4, 2.7.5)", () => {
  const { driver, put, text, serve, transport } = echo();
  put(DATA, "abcdef");
  const head = driver.add(out(DATA, 2), out(DATA + 2, 4), into(REPLY, 1), into(REPLY + 0x100, 9));
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id: head, length: 6 }]);
  assert.equal(text(REPLY, 1) + text(REPLY + 0x100, 5), "ABCDEF");
  assert.equal(transport.take(), 1);
});

Deno.test("heads are taken in order and indices wrap after 65535 (2.7.6)", () => {
  const { driver, serve } = echo();
  for (let i = 0; i < 70_000; i++) {
    const head = driver.add(out(DATA, 1), into(REPLY, 1));
    serve();
    assert.deepEqual(driver.takeUsed(), [{ id: head, length: 1 }], `buffer ${i}`);
  }
  assert.equal(driver.usedIndex, 70_000 % 65536);
});

Deno.test("an indirect table is a chain of its own (2.7.5.3)", () => {
  const { driver, put, text, serve } = echo([INDIRECT_DESC]);
  put(DATA, "hello");
  const table = driver.indirect(0x7000, [out(DATA, 5), into(REPLY, 3), into(REPLY + 16, 3)]);
  const head = driver.add(table);
  serve();
  assert.deepEqual(driver.takeUsed(), [{ id: head, length: 5 }]);
  assert.equal(text(REPLY, 3) + text(REPLY + 16, 2), "HELLO");
});

Deno.test("an indirect table may follow plain descriptors (2.7.5.3.2)", () => {
  const { driver, put, text, serve } = echo([INDIRECT_DESC]);
  put(DATA, "hello");
  driver.add(out(DATA, 2), driver.indirect(0x7000, [out(DATA + 2, 3), into(REPLY, 5)]));
  serve();
  assert.equal(driver.takeUsed()[0].length, 5);
  assert.equal(text(REPLY, 5), "HELLO");
});

Deno.test("available flags 1 keep interrupts away (2.7.6)", () => {
  const { driver, serve, transport } = echo();
  driver.flags = 1;
  driver.add(into(REPLY, 1));
  serve();
  assert.equal(driver.takeUsed().length, 1);
  assert.equal(transport.take(), 0);
});

Deno.test("used flags ask for notifications only while the queue is empty (2.7.10)", () => {
  const { core, driver, device } = echo();
  let during = -1;
  const serve = device.serve.bind(device);
  device.serve = (queue) => {
    const chain = queue.pop()!;
    during = driver.usedFlags;
    queue.push(chain, 0);
    serve(queue);
  };
  driver.add(into(REPLY, 1));
  core.notify(0);
  core.serve(false);
  assert.equal(during, 1);
  assert.equal(driver.usedFlags, 0);
});

Deno.test("used_event says after which buffer an interrupt is wanted (2.7.7.1)", () => {
  const { driver, serve, transport } = echo([EVENT_IDX]);
  const one = () => {
    driver.add(into(REPLY, 1));
    serve();
    return transport.take();
  };
  driver.usedEvent = 2;
  assert.deepEqual([one(), one(), one(), one()], [0, 0, 1, 0]);
  driver.usedEvent = 4;
  assert.equal(one(), 1);
});

Deno.test("avail_event says which buffer wants a notification (2.7.10.1)", () => {
  const { driver, serve } = echo([EVENT_IDX]);
  for (let i = 0; i < 5; i++) driver.add(into(REPLY, 1));
  serve();
  assert.equal(driver.availableEvent, 5);
  assert.equal(driver.usedFlags, 0, "used flags are not used with it");
});

Deno.test("a buffer that comes while the device says it wants to hear of the next is not missed", () => {
  const { core, driver, device } = echo([EVENT_IDX]);
  const { memory } = driver;
  const store = memory.storeU16.bind(memory);
  let raced = false;
  // The device writes avail_event: just before, the driver has added a buffer without notifying.
  memory.storeU16 = (address, value) => {
    if (!raced && address === driver.used + 4 + driver.size * 8 && device.idle === false) {
      raced = true;
      driver.add(into(REPLY, 1));
    }
    store(address, value);
  };
  driver.add(into(REPLY, 1));
  core.notify(0);
  core.serve(false);
  assert.ok(raced);
  assert.equal(driver.takeUsed().length, 2);
});

Deno.test("a turn ends after as many buffers as the queue has entries, and says that there is more", () => {
  const { core, driver, device } = echo();
  let served = 0;
  device.serve = (queue) => {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      served++;
      queue.push(chain, 0);
      driver.add(into(REPLY, 1)); // as another processor of the guest could for ever
    }
  };
  driver.add(into(REPLY, 1));
  core.notify(0);
  assert.equal(core.serve(false), true);
  assert.equal(served, 8);
  assert.equal(core.serve(false), true);
  assert.equal(served, 16);
});

/** What a malformed queue leads to: no access, NEEDS_RESET, and a configuration interrupt (2.1.2). */
function fails(
  name: string,
  fault: VirtqueueFault,
  spoil: (driver: SplitDriver) => void,
  features: readonly number[] = [INDIRECT_DESC],
): void {
  Deno.test(`the device needs a reset after ${name}`, () => {
    const { core, driver, serve, transport } = echo(features);
    spoil(driver);
    serve();
    assert.equal(core.queueState(0)!.fault, fault);
    assert.equal(core.status & NEEDS_RESET, NEEDS_RESET);
    assert.equal(transport.configInterrupts, 1);
    driver.add(into(REPLY, 1));
    serve();
    assert.equal(driver.usedIndex, 0, "its queues are dead");
    core.status = 0;
    assert.equal(core.status, 0, "until the driver resets it");
  });
}

fails("a head beyond the table (2.7.6)", VirtqueueFault.descriptorIndex, (d) => d.publish(8));
fails("a next descriptor beyond the table", VirtqueueFault.descriptorIndex, (d) => {
  d.describe(d.descriptors, 0, out(DATA, 1), 60_000);
  d.publish(0);
});
fails("a chain that is a circle", VirtqueueFault.chainLength, (d) => {
  d.describe(d.descriptors, 0, out(DATA, 1), 1);
  d.describe(d.descriptors, 1, out(DATA, 1), 0);
  d.publish(0);
});
fails("an available index that runs ahead of the ring", VirtqueueFault.availableIndex, (d) => {
  for (let i = 0; i < 9; i++) d.publish(0);
});
fails("an available index that goes backwards", VirtqueueFault.availableIndex, (d) => {
  d.memory.writeU16(d.available + 2, 0xffff);
});
fails("a buffer beyond RAM", VirtqueueFault.bufferAddress, (d) => d.add(out(0x4_0000, 1)));
fails("a buffer whose end is beyond RAM", VirtqueueFault.bufferAddress, (d) => {
  d.add(into(0x3_fff0, 0x20));
});
fails("a buffer at the end of the address space", VirtqueueFault.bufferAddress, (d) => {
  d.add(into(2 ** 64 - 4096, 4096));
});
fails("a readable buffer behind a writable one (2.7.4.2)", VirtqueueFault.order, (d) => {
  d.add(into(REPLY, 1), out(DATA, 1));
});
fails("an indirect table that was not negotiated (2.7.5.3.1)", VirtqueueFault.indirect, (d) => {
  d.add(d.indirect(0x7000, [out(DATA, 1)]));
}, []);
fails("an indirect table within another (2.7.5.3.1)", VirtqueueFault.indirect, (d) => {
  d.add(d.indirect(0x7000, [d.indirect(0x7100, [out(DATA, 1)])]));
});
fails("an indirect table with a next descriptor (2.7.5.3.1)", VirtqueueFault.indirect, (d) => {
  d.add(d.indirect(0x7000, [out(DATA, 1)]), out(DATA, 1));
});
fails("an indirect table of a part of a descriptor", VirtqueueFault.indirect, (d) => {
  d.add({ address: 0x7000, length: 17, indirect: true });
});
fails("an empty indirect table", VirtqueueFault.indirect, (d) => {
  d.add({ address: 0x7000, length: 0, indirect: true });
});
fails("an indirect table beyond RAM", VirtqueueFault.bufferAddress, (d) => {
  d.add({ address: 0x3_fff0, length: 32, indirect: true });
});
fails("an indirect table that is a circle", VirtqueueFault.chainLength, (d) => {
  d.describe(0x7000, 0, out(DATA, 1), 0);
  d.add({ address: 0x7000, length: 16, indirect: true });
});
