/** Devices that come and go on the board. */

import assert from "node:assert/strict";
import { setUpPci } from "../../bios/pci_setup.ts";
import { Event } from "../../hv/core/control.ts";
import type { HotDevice } from "../../hv/pc/hotplug.ts";
import { HOTPLUG_SLOTS } from "../../hv/pc/layout.ts";
import { configCycles } from "../devices/pci/support.ts";
import { Random, seed } from "../support/random.ts";
import { FULL_BOARD, TestBoard } from "../support/test_board.ts";

const [SLOT] = HOTPLUG_SLOTS;
/** The registers (QEMU, acpi_pci_hotplug). */
const PCIU = 0xae00;
const PCID = 0xae04;
const B0EJ = 0xae08;
/** Of the notification structure in virtio's BAR. */
const NOTIFY = 0x3000;
const VIRTIO_DISK = 0x1001_1af4;

const DISK: HotDevice = {
  kind: "disk",
  drive: { kind: "disk", interface: "virtio", unit: 24, sizeBytes: 1 << 20, readOnly: false },
};

function board() {
  const made = new TestBoard(FULL_BOARD);
  const { ports, hotplug } = made.pc;
  return { board: made, pc: made.pc, ports, hotplug, ...configCycles(ports) };
}

Deno.test("a device that is put in answers in its slot, and is announced by event 1 of GPE0", async () => {
  const { ports, hotplug, read } = board();
  assert.equal(read(SLOT, 0, 0, 4), 0xffff_ffff);
  await hotplug.insert(SLOT, DISK);
  assert.equal(read(SLOT, 0, 0, 4), VIRTIO_DISK);
  assert.equal(ports.read(PCIU, 4), 0, "not yet");
  hotplug.announce(SLOT);
  assert.equal(ports.read(0xafe0, 1), 1 << 1);
  assert.equal(ports.read(PCIU, 4), 1 << SLOT);
});

Deno.test("a device that is taken out leaves neither addresses nor doorbells", async () => {
  const { board: made, pc, ports, hotplug, read } = board();
  setUpPci(ports);
  const seen = () => ({
    ports: pc.ports.ranges,
    memory: pc.mmio.ranges,
    doorbells: new Set(made.doorbells),
  });
  const before = seen();
  await hotplug.insert(SLOT, DISK);
  setUpPci(ports);
  const base = read(SLOT, 0, 0x20, 4);
  assert.ok(base !== 0 && made.doorbells.has(base + NOTIFY));
  assert.equal(pc.mmio.read(base + 0x12, 2), FULL_BOARD.cpus, "num_queues");
  await hotplug.remove(SLOT);
  assert.equal(read(SLOT, 0, 0, 4), 0xffff_ffff);
  assert.equal(pc.mmio.read(base + 0x12, 2), 0xffff);
  setUpPci(ports);
  assert.deepEqual(seen(), before);
});

Deno.test("a hundred devices after each other take no more of the machine's state than one", async () => {
  const { board: made, hotplug, read } = board();
  const { stateBytes } = made;
  for (let round = 0; round < 100; round++) {
    await hotplug.insert(SLOT, DISK);
    assert.equal(read(SLOT, 0, 0x04, 2), 0, `round ${round}: nothing is left of the one before`);
    setUpPci(made.pc.ports);
    await hotplug.remove(SLOT);
  }
  assert.equal(made.stateBytes, stateBytes);
});

Deno.test("every slot takes a device, and one of them is as good as another", async () => {
  const { hotplug, read } = board();
  for (const slot of HOTPLUG_SLOTS) {
    assert.equal(hotplug.freeSlot, slot);
    await hotplug.insert(slot, DISK);
  }
  assert.equal(hotplug.freeSlot, undefined);
  assert.equal(hotplug.devices.length, HOTPLUG_SLOTS.length);
  await hotplug.remove(27);
  assert.equal(hotplug.freeSlot, 27);
  for (const slot of HOTPLUG_SLOTS) {
    assert.equal(read(slot, 0, 0, 4), slot === 27 ? 0xffff_ffff : VIRTIO_DISK);
  }
});

Deno.test("what the guest lets go is main's to take out, and the processors wait for it", async () => {
  const { board: made, ports, hotplug } = board();
  const { control } = made;
  await hotplug.insert(SLOT, DISK);
  hotplug.announce(SLOT);
  hotplug.requestEject(SLOT);
  assert.equal(ports.read(PCID, 4), 1 << SLOT);
  control.takeEvents();
  control.request(1);
  ports.write(B0EJ, 4, 1 << SLOT);
  assert.equal(control.requested, 0, "parked");
  assert.equal(control.takeEvents() & Event.ejected, Event.ejected);
  assert.ok(hotplug.hasEjected);
  assert.deepEqual(hotplug.takeEjected(), [SLOT]);
  assert.deepEqual(hotplug.takeEjected(), []);
  // The guest cannot ask for more of the same.
  ports.write(B0EJ, 4, 0xffff_ffff);
  assert.equal(hotplug.hasEjected, false);
});

Deno.test("a device that is pulled when the guest has just let it go does not take the next one along", async () => {
  const { ports, hotplug } = board();
  await hotplug.insert(SLOT, DISK);
  hotplug.announce(SLOT);
  ports.write(B0EJ, 4, 1 << SLOT);
  await hotplug.remove(SLOT);
  await hotplug.insert(SLOT, DISK);
  assert.equal(hotplug.hasEjected, false);
  assert.deepEqual(hotplug.takeEjected(), []);
});

Deno.test("a reset of the machine keeps what is in the slots, at power-on state", async () => {
  const { pc, ports, hotplug, read } = board();
  await hotplug.insert(SLOT, DISK);
  hotplug.announce(SLOT);
  setUpPci(ports);
  pc.reset("reset");
  assert.equal(read(SLOT, 0, 0, 4), VIRTIO_DISK);
  assert.equal(read(SLOT, 0, 0x20, 4), 0);
  assert.equal(ports.read(PCIU, 4), 0, "a system that starts finds it by itself");
  setUpPci(ports);
  assert.notEqual(read(SLOT, 0, 0x20, 4), 0);
});

Deno.test("a reset takes out what the guest was asked for", async () => {
  const { pc, hotplug } = board();
  await hotplug.insert(SLOT, DISK);
  hotplug.announce(SLOT);
  hotplug.requestEject(SLOT);
  pc.reset("reset");
  assert.deepEqual(hotplug.takeEjected(), [SLOT]);
});

Deno.test("a description beyond the slot's room is refused, and the slot stays empty", async () => {
  const { hotplug } = board();
  await assert.rejects(hotplug.insert(SLOT, DISK, { path: "x".repeat(1 << 20) }), RangeError);
  assert.equal(hotplug.freeSlot, SLOT);
  assert.deepEqual(hotplug.devices, []);
});

Deno.test(`whatever the guest does while devices come and go, nothing is left (HV_SEED=${seed()})`, async () => {
  const { board: made, pc, ports, hotplug, read, write } = board();
  const random = new Random(seed());
  const { stateBytes } = made;
  const seen = () => ({ ports: pc.ports.ranges.length, memory: pc.mmio.ranges.length });
  const before = seen();
  const value = () => random.chance(50) ? random.u32() : (1 << random.below(32)) >>> 0;
  for (let step = 0; step < 5000; step++) {
    const slot = random.pick(HOTPLUG_SLOTS);
    switch (random.below(8)) {
      case 0:
        if (hotplug.freeSlot !== undefined) await hotplug.insert(hotplug.freeSlot, DISK);
        break;
      case 1:
        await hotplug.remove(slot);
        break;
      case 2:
        if (read(slot, 0, 0, 2) !== 0xffff) hotplug.announce(slot);
        break;
      case 3:
        hotplug.requestEject(slot);
        break;
      case 4:
        for (const ejected of hotplug.takeEjected()) await hotplug.remove(ejected);
        break;
      case 5:
        ports.write(random.pick([PCIU, PCID, B0EJ, 0xae0c, 0xafe0]), random.pick([1, 4]), value());
        break;
      case 6:
        write(slot, 0, random.pick([4, 0x10, 0x14, 0x20, 0x40]), 4, value());
        break;
      default:
        pc.mmio.write(random.pick([0xc000_0000, 0xfebf_0000]) + random.below(0x4000), 4, value());
    }
    made.serveIo();
  }
  for (const slot of HOTPLUG_SLOTS) await hotplug.remove(slot);
  assert.deepEqual(seen(), before);
  assert.equal(made.stateBytes, stateBytes);
});
