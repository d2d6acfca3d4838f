import assert from "node:assert/strict";
import {
  type ApicBus,
  type ApicMessage,
  BROADCAST,
  DeliveryMode,
  msiMessage,
} from "../../../devices/interrupts/apic_message.ts";
import { IoApic, IoApicState } from "../../../devices/interrupts/ioapic.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

const MASKED = 0x1_0000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;

/** A bus that remembers, and accepts unless it is told otherwise. */
class ProbeBus implements ApicBus {
  readonly messages: ApicMessage[] = [];
  accepts = true;
  deliver(message: ApicMessage): boolean {
    this.messages.push(message);
    return this.accepts;
  }
}

function start(version: 0x11 | 0x20 = 0x11) {
  const bench = new TestBench();
  const bus = new ProbeBus();
  const ioapic = new IoApic(bench.state(IoApicState), bus, version);
  ioapic.reset();
  const write = (register: number, value: number) => {
    ioapic.write(0x00, 4, register);
    ioapic.write(0x10, 4, value);
  };
  const read = (register: number) => {
    ioapic.write(0x00, 4, register);
    return ioapic.read(0x10, 4);
  };
  const entry = (pin: number, low: number, high = 0) => {
    write(0x11 + 2 * pin, high);
    write(0x10 + 2 * pin, low);
  };
  const sent = () => bus.messages.splice(0);
  return { ioapic, bus, write, read, entry, sent };
}

deviceContract("ioapic", (bench) => {
  // Whether a message is accepted depends on it alone, so that a twin sees the same.
  const bus = { deliver: ({ vector }: ApicMessage) => vector % 3 !== 0 };
  const ioapic = new IoApic(bench.state(IoApicState), bus, 0x20);
  return {
    device: ioapic,
    ports: [{ handler: ioapic, length: 0x50, sizes: [1, 2, 4] }],
    events: [
      (random) => ioapic.setIrq(random.below(32), random.chance(50)),
      (random) => ioapic.endOfInterrupt(random.below(4) + 0x30),
    ],
    likely: [
      { port: 0, offset: 0, size: 4, values: [0x00, 0x10, 0x11, 0x12, 0x14, 0x3e, 0x3f] },
      { port: 0, offset: 0x10, size: 4, values: [0x8030, 0x30, 0x1_8031, 0x8133, 0x8432, 0x732] },
      { port: 0, offset: 0x40, size: 4, values: [0x30, 0x31] },
    ],
  };
});

Deno.test("ioapic comes up with 24 masked entries, ID 0 and its version (82093AA, 3.2.1-3.2.4)", () => {
  const { ioapic, read } = start();
  assert.equal(read(0x00), 0);
  assert.equal(read(0x01), 0x17_0011);
  assert.equal(read(0x02), 0);
  for (let pin = 0; pin < 24; pin++) {
    assert.equal(read(0x10 + 2 * pin), MASKED);
    assert.equal(read(0x11 + 2 * pin), 0);
  }
  assert.equal(read(0x40), 0, "no such register");
  assert.equal(ioapic.read(0x00, 4), 0x40);
  assert.equal(start(0x20).read(0x01), 0x17_0020);
});

Deno.test("ioapic's ID has four bits and loads the arbitration ID (82093AA, 3.2.1, 3.2.3)", () => {
  const { write, read } = start();
  write(0x00, 0xffff_ffff);
  assert.equal(read(0x00), 0x0f00_0000);
  assert.equal(read(0x02), 0x0f00_0000);
  write(0x02, 0x0300_0000);
  assert.equal(read(0x02), 0x0f00_0000, "read-only");
});

Deno.test("ioapic keeps the bits of an entry that exist; status and remote IRR are read-only (3.2.4)", () => {
  const { read, entry } = start();
  entry(5, 0xffff_ffff, 0xffff_ffff);
  assert.equal(read(0x1a), 0x1_afff);
  assert.equal(read(0x1b), 0xff00_0000);
});

Deno.test("ioapic sends one fixed message an edge, to the destination of its entry (3.2.4)", () => {
  const { ioapic, entry, sent } = start();
  entry(4, 0x31, 0x0200_0000);
  ioapic.setIrq(4, true);
  ioapic.setIrq(4, true);
  assert.deepEqual(sent(), [{
    destination: 2,
    logical: false,
    mode: DeliveryMode.fixed,
    vector: 0x31,
    level: true,
    levelTriggered: false,
  }]);
  ioapic.setIrq(4, false);
  ioapic.endOfInterrupt(0x31);
  assert.deepEqual(sent(), []);
  ioapic.setIrq(4, true);
  assert.equal(sent().length, 1);
});

Deno.test("ioapic passes mode, logical destinations and the broadcast on (3.2.4)", () => {
  const { ioapic, entry, sent } = start();
  entry(1, 0x0940, 0x0300_0000);
  entry(2, 0x0441, 0xff00_0000);
  ioapic.setIrq(1, true);
  ioapic.setIrq(2, true);
  const [lowest, nmi] = sent();
  assert.deepEqual([lowest.mode, lowest.logical, lowest.destination], [1, true, 3]);
  assert.deepEqual([nmi.mode, nmi.logical, nmi.destination], [4, false, BROADCAST]);
});

Deno.test("ioapic forgets edges on a masked input (3.2.4, interrupt mask)", () => {
  const { ioapic, entry, sent } = start();
  entry(4, MASKED | 0x31);
  ioapic.setIrq(4, true);
  entry(4, 0x31);
  assert.deepEqual(sent(), []);
});

Deno.test("ioapic sends a level once until its EOI, and again while it is asserted (remote IRR)", () => {
  const { ioapic, entry, read, sent } = start();
  entry(16, LEVEL | 0x60);
  ioapic.setIrq(16, true);
  assert.equal(sent()[0].levelTriggered, true);
  assert.equal(read(0x30), REMOTE_IRR | LEVEL | 0x60);
  ioapic.setIrq(16, false);
  ioapic.setIrq(16, true);
  assert.deepEqual(sent(), [], "it awaits the EOI");
  ioapic.endOfInterrupt(0x61);
  assert.deepEqual(sent(), [], "another vector");
  ioapic.endOfInterrupt(0x60);
  assert.equal(sent().length, 1);
  ioapic.setIrq(16, false);
  ioapic.endOfInterrupt(0x60);
  assert.deepEqual(sent(), []);
  assert.equal(read(0x30), LEVEL | 0x60);
});

Deno.test("ioapic sends a level that is there when it is unmasked, and not while it is masked", () => {
  const { ioapic, entry, sent } = start();
  entry(16, MASKED | LEVEL | 0x60);
  ioapic.setIrq(16, true);
  assert.deepEqual(sent(), []);
  entry(16, LEVEL | 0x60);
  assert.equal(sent().length, 1);
});

Deno.test("ioapic leaves a level that nobody accepted without remote IRR, to be tried again", () => {
  const { ioapic, bus, entry, read, sent } = start();
  bus.accepts = false;
  entry(16, LEVEL | 0x60);
  ioapic.setIrq(16, true);
  assert.equal(sent().length, 1);
  assert.equal(read(0x30), LEVEL | 0x60);
  bus.accepts = true;
  entry(16, LEVEL | 0x60);
  assert.equal(sent().length, 1);
  assert.equal(read(0x30), REMOTE_IRR | LEVEL | 0x60);
});

Deno.test("ioapic ends an interrupt whose entry becomes edge-triggered, as systems without EOIR do it", () => {
  const { ioapic, entry, read, sent } = start();
  entry(16, LEVEL | 0x60);
  ioapic.setIrq(16, true);
  sent();
  entry(16, MASKED | 0x60);
  assert.equal(read(0x30), MASKED | 0x60);
  entry(16, LEVEL | 0x60);
  assert.equal(sent().length, 1);
});

Deno.test("ioapic sends NMI, SMI, INIT and ExtINT by edges whatever the entry says (3.2.4)", () => {
  for (const mode of [2, 4, 5, 7]) {
    const { ioapic, entry, read, sent } = start();
    entry(3, LEVEL | (mode << 8));
    ioapic.setIrq(3, true);
    assert.deepEqual(sent().map(({ mode, levelTriggered }) => [mode, levelTriggered]), [
      [mode, false],
    ]);
    assert.equal(read(0x16), LEVEL | (mode << 8));
    entry(3, LEVEL | (mode << 8));
    assert.deepEqual(sent(), []);
  }
});

Deno.test("ioapic of version 20h has an EOI register, that of version 11h has none (ICH)", () => {
  for (const version of [0x11, 0x20] as const) {
    const { ioapic, entry, sent } = start(version);
    entry(16, LEVEL | 0x60);
    ioapic.setIrq(16, true);
    sent();
    ioapic.write(0x40, 4, 0x60);
    assert.equal(sent().length, version === 0x20 ? 1 : 0);
  }
});

Deno.test("ioapic has no inputs beyond 23", () => {
  const { ioapic, sent } = start();
  for (const pin of [24, 32, 255, -1, NaN]) ioapic.setIrq(pin, true);
  assert.deepEqual(sent(), []);
});

Deno.test("an MSI names destination, mode and trigger in address and data (SDM 3, 11.11)", () => {
  const plain = { logical: false, mode: 0, level: true, levelTriggered: false };
  assert.deepEqual(msiMessage(0xfee0_3000, 0x0041), { ...plain, destination: 3, vector: 0x41 });
  assert.deepEqual(msiMessage(0xfeef_f000, 0x0441), {
    ...plain,
    destination: BROADCAST,
    mode: DeliveryMode.nmi,
    vector: 0x41,
  });
  assert.deepEqual(msiMessage(0xfee0_3004, 0xc041), {
    ...plain,
    destination: 3,
    logical: true,
    levelTriggered: true,
    vector: 0x41,
  });
  assert.equal(msiMessage(0xfee0_3000, 0x8041)?.level, false, "de-assert");
  assert.equal(msiMessage(0xfee0_300c, 0x41)?.mode, DeliveryMode.lowestPriority);
  assert.equal(msiMessage(0xfed0_3000, 0x41), undefined);
  assert.equal(msiMessage(0x1_fee0_0000, 0x41), undefined);
});

Deno.test("ioapic has 24 entries: registers 10h to 3Fh, and no others (3.2.4)", () => {
  const { write, read } = start();
  for (let register = 3; register < 0x100; register++) write(register, 0x1_0055);
  for (let register = 3; register < 0x100; register++) {
    const expected = register < 0x10 || register > 0x3f ? 0 : register & 1 ? 0 : 0x1_0055;
    assert.equal(read(register), expected, `${register.toString(16)}h`);
  }
  write(0x00, 0x0500_0000);
  assert.equal(read(0x00), 0x0500_0000);
});

Deno.test("ioapic's level-triggered lowest-priority input awaits its EOI, an edge does not (3.2.4)", () => {
  const { ioapic, entry, read, sent } = start();
  entry(16, LEVEL | 0x160);
  entry(4, 0x60);
  ioapic.setIrq(16, true);
  ioapic.setIrq(4, true);
  assert.equal(read(0x30), REMOTE_IRR | LEVEL | 0x160);
  sent();
  ioapic.endOfInterrupt(0x60);
  assert.deepEqual(sent().map(({ mode }) => mode), [DeliveryMode.lowestPriority]);
});
