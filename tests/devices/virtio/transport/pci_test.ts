import assert from "node:assert/strict";
import { msixState } from "../../../../devices/pci/msix.ts";
import { PciFunctionState } from "../../../../devices/pci/pci_function.ts";
import { VirtioCore, virtioState } from "../../../../devices/virtio/virtio_core.ts";
import { VirtioPci } from "../../../../devices/virtio/transport/pci.ts";
import { virtioPciState } from "../../../../devices/virtio/transport/pci_state.ts";
import { f64, record, u32 } from "../../../../hv/core/state/record.ts";
import { deviceContract } from "../../../support/contract.ts";
import { TestBench } from "../../../support/test_bench.ts";
import { configPort } from "../../pci/support.ts";
import { SplitDriver } from "../queue/split_driver.ts";
import { ACKNOWLEDGE, DRIVER, DRIVER_OK, Echo, FEATURES_OK } from "../support.ts";
import type { VirtioDevice } from "../../../../devices/virtio/virtio_device.ts";

/** Capabilities by cfg_type (4.1.4). */
const COMMON = 1;
const NOTIFY = 2;
const ISR = 3;
const DEVICE = 4;
const PCI = 5;

/** Command: the function may be bus master. */
const MASTER = 4;

const ProbeState = record("test.probe", 1, { messages: u32, data: u32, notifyAt: f64 });

function pciOn(bench: TestBench, device: VirtioDevice = new Echo(bench)) {
  const probe = bench.arena.allocate(ProbeState, "bench.probe");
  const line = bench.irq("pin");
  const queues = device.queueSizes.length;
  const core = new VirtioCore({
    state: bench.state(virtioState(queues)),
    lock: bench.arena.lock("virtio"),
    memory: bench.memory,
    device,
    ring: () => {},
  });
  const transport = new VirtioPci({
    core,
    state: bench.state(virtioPciState(queues)),
    pciState: bench.state(PciFunctionState),
    msixState: bench.state(msixState(queues + 1)),
    pin: { update: (level) => line.set(level()) },
    sendMsi: (_address, data) => {
      probe.messages++;
      probe.data = data;
    },
    onNotifyMoved: (address) => probe.notifyAt = address ?? 0,
  });
  const { pci } = transport;
  const bar = (number: number) => pci.bars.find(({ index }) => index === number)?.device;
  const [legacy, msix, structures] = [bar(0), bar(1)!, bar(4)!];
  return { probe, line, core, transport, pci, legacy: legacy!, msix, structures };
}

/** Where the capability of a type says that its structure lies. */
function find(pci: VirtioPci["pci"], type: number) {
  for (let at = pci.configRead(0x34, 1); at !== 0; at = pci.configRead(at + 1, 1)) {
    if (pci.configRead(at, 1) !== 9 || pci.configRead(at + 3, 1) !== type) continue;
    return {
      at,
      bytes: pci.configRead(at + 2, 1),
      bar: pci.configRead(at + 4, 1),
      offset: pci.configRead(at + 8, 4),
      length: pci.configRead(at + 12, 4),
    };
  }
  throw new Error(`there is no capability of type ${type}`);
}

const started = () => {
  const bench = new TestBench();
  const made = pciOn(bench);
  made.transport.reset();
  made.pci.configWrite(0x04, 2, MASTER);
  const common = find(made.pci, COMMON).offset;
  const read = (offset: number, size: number) => made.structures.read(common + offset, size);
  const write = (offset: number, size: number, value: number) =>
    made.core.lock.with(() => made.structures.write(common + offset, size, value));
  /** Initialises the device as 3.1.1 says, with queue 0 and these of features 32 to 63. */
  const start = (high = 1) => {
    write(0x14, 1, 0);
    write(0x14, 1, ACKNOWLEDGE);
    write(0x14, 1, ACKNOWLEDGE | DRIVER);
    write(0x08, 4, 1);
    write(0x0c, 4, high);
    write(0x14, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    assert.equal(read(0x14, 1), ACKNOWLEDGE | DRIVER | FEATURES_OK);
    const driver = new SplitDriver(bench.memory, 0x1000, 8);
    write(0x16, 2, 0);
    for (
      const [at, value] of [[0x20, driver.descriptors], [0x28, driver.available], [
        0x30,
        driver.used,
      ]]
    ) {
      write(at, 4, value);
      write(at + 4, 4, 0);
    }
    write(0x1a, 2, 1);
    write(0x10, 2, 0);
    write(0x1c, 2, 1);
    write(0x14, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    return driver;
  };
  const notify = () => {
    made.structures.write(find(made.pci, NOTIFY).offset, 2, 0);
    made.core.serve(false);
  };
  return { bench, read, write, start, notify, ...made };
};

deviceContract("virtio pci", (bench) => {
  const { transport, core, pci, legacy, msix, structures } = pciOn(bench);
  const locked = (handler: typeof structures) => ({
    read: (offset: number, size: number) => core.lock.with(() => handler.read(offset, size)),
    write: (offset: number, size: number, value: number) =>
      core.lock.with(() => handler.write(offset, size, value)),
  });
  return {
    device: transport,
    ports: [
      configPort(pci),
      { handler: msix, length: 0x1000, sizes: [4] },
      { handler: locked(structures), length: 0x4000, sizes: [1, 2, 4] },
      { handler: locked(structures), length: 0x3c, sizes: [1, 2, 4] },
      { handler: locked(legacy), length: 0x40, sizes: [1, 2, 4] },
    ],
    events: [() => void core.serve(true), (random) => core.notify(random.below(4))],
    likely: [
      { port: 3, offset: 0x14, size: 1, values: [0, 1, 3, 11, 15] },
      { port: 3, offset: 0x08, size: 4, values: [0, 1] },
      { port: 3, offset: 0x0c, size: 4, values: [1, 8] },
      { port: 3, offset: 0x16, size: 2, values: [0, 1, 2] },
      { port: 3, offset: 0x18, size: 2, values: [2, 4, 8, 9] },
      { port: 3, offset: 0x1a, size: 2, values: [0, 1, 2, 3] },
      { port: 3, offset: 0x1c, size: 2, values: [0, 1] },
      { port: 3, offset: 0x20, size: 4, values: [0x1000, 0x2001] },
      { port: 3, offset: 0x28, size: 4, values: [0x3000] },
      { port: 3, offset: 0x30, size: 4, values: [0x5000] },
      { port: 3, offset: 0x24, size: 4, values: [0] },
      { port: 3, offset: 0x2c, size: 4, values: [0] },
      { port: 3, offset: 0x34, size: 4, values: [0] },
      { port: 4, offset: 0x08, size: 4, values: [0, 2, 5, 0xffff_ffff] },
      { port: 4, offset: 0x12, size: 1, values: [0, 3, 7] },
      { port: 0, offset: 0x42, size: 2, values: [0, 0x8000] },
      { port: 0, offset: 0x04, size: 2, values: [0, 3, 7] },
    ],
  };
});

/** A device that no legacy driver knows. */
class Modern extends Echo {
  override readonly id = 19;
}

Deno.test("a modern device has vendor 1AF4h and device 1040h plus its number (4.1.2)", () => {
  const bench = new TestBench();
  const { pci, transport } = pciOn(bench, new Modern(bench));
  transport.reset();
  assert.equal(pci.configRead(0, 4), 0x1053_1af4);
  assert.equal(pci.configRead(8, 1), 1, "revision 1 or higher: no transitional device");
  assert.equal(pci.configRead(0x10, 4), 0, "and no legacy interface");
  assert.equal(pci.configRead(0x3d, 1), 1, "INTA#");
});

Deno.test("capabilities name every structure of the transport, within its BAR (4.1.4)", () => {
  const { pci } = started();
  const found = [COMMON, NOTIFY, ISR, DEVICE].map((type) => find(pci, type));
  const bar = pci.bars.find(({ index }) => index === found[0].bar)!;
  for (const { at, bar: index, offset, length, bytes } of found) {
    assert.equal(index, bar.index);
    assert.ok(offset + length <= bar.size, `capability at ${at}`);
    assert.ok(bytes >= 16);
  }
  assert.equal(find(pci, COMMON).length, 0x3c);
  assert.equal(find(pci, NOTIFY).bytes, 20);
  assert.equal(find(pci, PCI).bytes, 20);
});

Deno.test("the driver finds queues, features and status where 4.1.4.3 has them", () => {
  const { read, write } = started();
  assert.equal(read(0x12, 2), 2, "num_queues");
  write(0x00, 4, 0);
  assert.equal(read(0x04, 4) & 0x3000_0008, 0x3000_0008, "INDIRECT_DESC, EVENT_IDX and its own");
  write(0x00, 4, 1);
  assert.equal(read(0x04, 4) & 1, 1, "VERSION_1");
  write(0x00, 4, 7);
  assert.equal(read(0x04, 4), 0);
  write(0x16, 2, 1);
  assert.equal(read(0x18, 2), 8, "queue_size is the largest at first");
  write(0x16, 2, 2);
  assert.equal(read(0x18, 2), 0, "there is no such queue");
  assert.equal(read(0x1a, 2), 0xffff);
});

Deno.test("a driver sets a queue up, notifies and is interrupted by its vector (4.1.5)", () => {
  const { pci, msix, start, notify, probe } = started();
  pci.configWrite(0x42, 2, 0x8000);
  for (const vector of [0, 1]) {
    msix.write(vector * 16, 4, 0xfee0_0000);
    msix.write(vector * 16 + 8, 4, 0x30 + vector);
    msix.write(vector * 16 + 12, 4, 0);
  }
  const driver = start();
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  assert.equal(driver.usedIndex, 1);
  assert.deepEqual([probe.messages, probe.data], [1, 0x31]);
  driver.publish(77);
  notify();
  assert.deepEqual(
    [probe.messages, probe.data],
    [2, 0x30],
    "NEEDS_RESET is a configuration change",
  );
});

Deno.test("a vector that there is not reads back as NO_VECTOR (4.1.5.1.2.1)", () => {
  const { read, write } = started();
  write(0x10, 2, 3);
  assert.equal(read(0x10, 2), 0xffff);
  write(0x10, 2, 2);
  assert.equal(read(0x10, 2), 2);
});

Deno.test("without MSI-X the pin is pulled until the ISR status is read (4.1.4.5)", () => {
  const { structures, pci, start, notify, line, probe } = started();
  const driver = start();
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  assert.equal(line.level, true);
  assert.equal(probe.messages, 0);
  const isr = find(pci, ISR).offset;
  assert.equal(structures.read(isr, 1), 1);
  assert.equal(line.level, false);
  assert.equal(structures.read(isr, 1), 0);
  driver.publish(77);
  notify();
  assert.equal(structures.read(isr, 1), 2);
});

Deno.test("a reset by the driver lets the pin go and forgets queues and vectors (4.1.4.3.1)", () => {
  const { start, notify, line, read, write } = started();
  const driver = start();
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  write(0x14, 1, 0);
  assert.equal(read(0x14, 1), 0);
  assert.equal(line.level, false);
  write(0x16, 2, 0);
  assert.equal(read(0x1a, 2), 0xffff);
  assert.equal(read(0x1c, 2), 0, "queue_enable");
  assert.equal(read(0x20, 4), 0, "queue_desc");
});

Deno.test("firmware reaches the structures through configuration space (4.1.4.9)", () => {
  const { pci, read } = started();
  const { at } = find(pci, PCI);
  const select = (type: number, offset: number, size: number) => {
    const target = find(pci, type);
    pci.configWrite(at + 4, 1, target.bar);
    pci.configWrite(at + 8, 4, target.offset + offset);
    pci.configWrite(at + 12, 4, size);
  };
  select(COMMON, 0x12, 2);
  assert.equal(pci.configRead(at + 16, 2), 2);
  select(COMMON, 0x14, 1);
  pci.configWrite(at + 16, 1, ACKNOWLEDGE);
  assert.equal(read(0x14, 1), ACKNOWLEDGE);
  pci.configWrite(at + 8, 4, 0x4000);
  assert.equal(pci.configRead(at + 16, 4), 0xffff_ffff, "beyond the BAR there is nothing");
});

Deno.test("the board is told where queues are notified whenever the BAR moves", () => {
  const { pci, probe } = started();
  pci.configWrite(0x20, 4, 0xc000_4000);
  assert.equal(probe.notifyAt, 0);
  pci.configWrite(0x04, 2, 2);
  assert.equal(probe.notifyAt, 0xc000_4000 + find(pci, NOTIFY).offset);
  pci.configWrite(0x04, 2, 0);
  assert.equal(probe.notifyAt, 0);
});

Deno.test("queue_reset takes a queue back, queue_enable tells when (4.1.4.3.2)", () => {
  const { read, write, start } = started();
  start();
  write(0x3a, 2, 1);
  assert.equal(read(0x1c, 2), 1, "not without RING_RESET");
  start(1 | 1 << (40 - 32));
  assert.equal(read(0x1c, 2), 1);
  write(0x3a, 2, 1);
  assert.equal(read(0x3a, 2), 0, "there was nothing in flight");
  assert.equal(read(0x1c, 2), 0);
});

// --- the legacy interface ------------------------------------------------------------------------

/** A queue of eight entries as legacy drivers lay it out: the used ring on the next page (2.7.2). */
Deno.test("a device that may not be bus master leaves memory alone until it may (PCI 3.0, 6.2.2)", () => {
  const { bench, start, notify, pci, core, msix, probe } = started();
  pci.configWrite(0x42, 2, 0x8000);
  msix.write(0x10, 4, 0xfee0_0000);
  msix.write(0x18, 4, 0x4041);
  msix.write(0x1c, 4, 0);
  const driver = start();
  const head = driver.add({ address: 0x9000, length: 1, write: true });
  pci.configWrite(0x04, 2, 0);
  const memory = bench.memory.view(0x1000, 0x9000)!.slice();
  notify();
  core.lock.with(() => core.transport!.interruptQueue(0));
  assert.deepEqual(bench.memory.view(0x1000, 0x9000), memory);
  assert.equal(probe.messages, 0);
  assert.equal(msix.read(0x800, 4), 1 << 1, "the message waits");

  pci.configWrite(0x04, 2, MASTER);
  assert.equal(probe.messages, 1);
  core.serve(false);
  assert.deepEqual(driver.takeUsed(), [{ id: head, length: 0 }], "without another notification");
  assert.equal(probe.messages, 2);
});

class LegacyQueue extends SplitDriver {
  override readonly used: number;
  constructor(memory: SplitDriver["memory"], base: number) {
    super(memory, base, 8);
    this.used = base + 0x1000;
  }
}

const legacyStarted = () => {
  const made = started();
  const { legacy, core, bench } = made;
  const read = (offset: number, size: number) => core.lock.with(() => legacy.read(offset, size));
  const write = (offset: number, size: number, value: number) =>
    core.lock.with(() => legacy.write(offset, size, value));
  /** Initialises the device as 3.1.2 and 4.1.5.1.1 say, with queue 0 at 2000h. */
  const start = () => {
    write(0x12, 1, 0);
    write(0x12, 1, ACKNOWLEDGE);
    write(0x12, 1, ACKNOWLEDGE | DRIVER);
    write(0x04, 4, read(0x00, 4) & 1 << 28);
    write(0x0e, 2, 0);
    assert.equal(read(0x0c, 2), 8);
    const driver = new LegacyQueue(bench.memory, 0x2000);
    write(0x08, 4, 2);
    write(0x12, 1, ACKNOWLEDGE | DRIVER | DRIVER_OK);
    return driver;
  };
  const notify = () => {
    write(0x10, 2, 0);
    core.serve(false);
  };
  return { ...made, read, write, start, notify };
};

Deno.test("a transitional device has its old ID, revision 0 and its number as subsystem (4.1.2.1)", () => {
  const { pci } = started();
  assert.equal(pci.configRead(0, 4), 0x1005_1af4);
  assert.equal(pci.configRead(8, 1), 0);
  assert.equal(pci.configRead(0x2e, 2), 4);
  assert.equal(pci.configRead(0x10, 4) & 1, 1, "BAR 0 is in port space");
});

Deno.test("a legacy driver uses a queue on a page, and is interrupted by the pin (4.1.4.10)", () => {
  const { read, start, notify, line, core } = legacyStarted();
  const driver = start();
  assert.equal(read(0x08, 4), 2);
  const head = driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  assert.deepEqual(driver.takeUsed(), [{ id: head, length: 0 }]);
  assert.equal(line.level, true);
  assert.equal(read(0x13, 1), 1, "ISR status");
  assert.equal(line.level, false);
  assert.ok(core.accepted(28) && !core.accepted(32));
});

Deno.test("a legacy driver that forgot the bus is let go, a modern one is not", () => {
  const legacy = legacyStarted();
  legacy.pci.configWrite(0x04, 2, 0);
  const driver = legacy.start();
  const head = driver.add({ address: 0x9000, length: 1, write: true });
  legacy.notify();
  assert.deepEqual(driver.takeUsed(), [{ id: head, length: 0 }]);
  legacy.pci.configWrite(0x04, 2, MASTER);
  legacy.pci.configWrite(0x04, 2, 0);
  driver.add({ address: 0x9000, length: 1, write: true });
  legacy.notify();
  assert.deepEqual(driver.takeUsed(), [], "what is forbidden expressly is not forgotten");

  const modern = started();
  modern.pci.configWrite(0x04, 2, 0);
  const queue = modern.start();
  queue.add({ address: 0x9000, length: 1, write: true });
  modern.notify();
  assert.deepEqual(queue.takeUsed(), []);
});

Deno.test("legacy registers of vectors are there with MSI-X only, and the configuration behind", () => {
  const { read, write, start, pci, core } = legacyStarted();
  start();
  core.lock.with(() => core.writeConfig(0, 4, 0x1234_5678));
  assert.equal(read(0x14, 4), 0x1234_5678);
  write(0x15, 1, 0xaa);
  pci.configWrite(0x42, 2, 0x8000);
  assert.equal(read(0x14, 2), 0xffff);
  write(0x14, 2, 0);
  write(0x16, 2, 7);
  assert.deepEqual([read(0x14, 2), read(0x16, 2)], [0, 0xffff], "there is no vector 7");
  assert.equal(read(0x18, 4), 0x1234_aa78);
});

Deno.test("a legacy driver takes a queue back with address 0, and resets by status 0", () => {
  const { read, write, start, notify } = legacyStarted();
  const driver = start();
  write(0x08, 4, 0);
  assert.equal(read(0x08, 4), 0);
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  assert.equal(driver.usedIndex, 0);
  write(0x08, 4, 2);
  write(0x12, 1, 0);
  assert.deepEqual([read(0x12, 1), read(0x08, 4)], [0, 0]);
});

Deno.test("a legacy queue beyond RAM is not enabled: the device needs a reset", () => {
  const { read, write } = legacyStarted();
  write(0x12, 1, ACKNOWLEDGE | DRIVER);
  write(0x08, 4, 0xffff_ffff);
  assert.equal(read(0x08, 4), 0);
  assert.equal(read(0x12, 1) & 64, 64);
});

Deno.test("a notification may tell how far the queue is, beside its number (4.1.5.2)", () => {
  const { core, structures, pci, start, read, write } = started();
  write(0x00, 4, 1);
  assert.equal(read(0x04, 4) & 1 << (38 - 32), 1 << (38 - 32), "NOTIFICATION_DATA");
  const driver = start(1 | 1 << (38 - 32));
  driver.add({ address: 0x9000, length: 1, write: true });
  structures.write(find(pci, NOTIFY).offset, 4, 1 << 16 | 0);
  core.serve(false);
  assert.equal(driver.usedIndex, 1);
});

Deno.test("the pin is let go when MSI-X takes its place (PCI 3.0, 6.8.2.3)", () => {
  const { start, notify, line, pci } = started();
  const driver = start();
  driver.add({ address: 0x9000, length: 1, write: true });
  notify();
  assert.equal(line.level, true);
  pci.configWrite(0x42, 2, 0x8000);
  assert.equal(line.level, false);
});
