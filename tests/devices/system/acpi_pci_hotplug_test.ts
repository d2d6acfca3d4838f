import assert from "node:assert/strict";
import {
  AcpiPciHotplug,
  AcpiPciHotplugState,
  B0EJ,
  PCID,
  PCIU,
  PCRM,
} from "../../../devices/system/acpi_pci_hotplug.ts";
import { u32s } from "../../../hv/core/state/record.ts";
import { record } from "../../../hv/core/state/record.ts";
import { deviceContract } from "../../support/contract.ts";
import { TestBench } from "../../support/test_bench.ts";

/** What has come out of the registers. */
const Seen = record("test.seen", 1, { words: u32s(2) });

function hotplugOn(bench: TestBench) {
  const { words } = bench.state(Seen, "bench.seen");
  const chip = new AcpiPciHotplug(bench.state(AcpiPciHotplugState), {
    raiseEvent: () => words[0]++,
    onEject: (slots) => words[1] = slots,
  });
  const read = (offset: number) => chip.registers.read(offset, 4);
  const eject = (slots: number) => chip.registers.write(B0EJ, 4, slots);
  return {
    chip,
    read,
    eject,
    get events() {
      return words[0];
    },
    get ejected() {
      return words[1];
    },
  };
}

function started() {
  const parts = hotplugOn(new TestBench());
  parts.chip.reset();
  return parts;
}

deviceContract("ACPI PCI hot-plug", (bench) => {
  const { chip } = hotplugOn(bench);
  return {
    device: {
      reset() {
        for (let slot = 0; slot < 32; slot++) chip.removed(slot);
        chip.reset();
      },
    },
    ports: [{ handler: chip.registers, length: 16, sizes: [4] }],
    events: [
      (random) => chip.inserted(random.below(32)),
      (random) => chip.requestEject(random.below(32)),
      (random) => chip.withdrawEject(random.below(32)),
      (random) => chip.removed(random.below(32)),
    ],
    likely: [{ port: 0, offset: B0EJ, size: 4, values: [1, 0x8000_0000, 0xffff_ffff] }],
  };
});

Deno.test("a device that was put in is announced once (QEMU, acpi_pci_hotplug: AE00h)", () => {
  const { chip, read, events } = started();
  assert.equal(events, 0);
  chip.inserted(31);
  assert.equal(read(PCRM), 0x8000_0000);
  assert.equal(read(PCIU), 0x8000_0000);
  assert.equal(read(PCIU), 0, "the message has been taken");
});

Deno.test("a device that is to leave stays announced until the guest lets it go (AE04h, AE08h)", () => {
  const parts = started();
  const { chip, read, eject } = parts;
  chip.inserted(24);
  chip.inserted(25);
  chip.requestEject(25);
  assert.equal(parts.events, 3);
  assert.equal(read(PCID), 1 << 25);
  assert.equal(read(PCID), 1 << 25);
  eject(1 << 25);
  assert.equal(parts.ejected, 1 << 25);
  assert.deepEqual([read(PCID), read(PCRM)], [0, 1 << 24]);
});

Deno.test("the guest may let a device go that nobody asked for, and none that is not there", () => {
  const parts = started();
  parts.chip.inserted(30);
  parts.eject(0x0000_0007);
  assert.equal(parts.ejected, 0);
  parts.eject(0xffff_ffff);
  assert.equal(parts.ejected, 1 << 30);
});

Deno.test("nobody can ask for a device that is not there, and a request can be withdrawn", () => {
  const { chip, read } = started();
  chip.requestEject(24);
  assert.equal(read(PCID), 0);
  chip.inserted(24);
  chip.requestEject(24);
  chip.withdrawEject(24);
  assert.equal(read(PCID), 0);
  assert.equal(read(PCRM), 1 << 24);
});

Deno.test("at a reset, what the guest was asked to let go leaves, and the rest stays", () => {
  const parts = started();
  const { chip, read } = parts;
  chip.inserted(24);
  chip.inserted(25);
  chip.requestEject(24);
  chip.reset();
  assert.equal(parts.ejected, 1 << 24);
  assert.deepEqual([read(PCIU), read(PCID), read(PCRM)], [0, 0, 1 << 25]);
});

Deno.test("features and registers that do not exist read as zero, and take no writes", () => {
  const { chip, read } = started();
  chip.inserted(24);
  for (const offset of [PCIU, PCID, PCRM]) chip.registers.write(offset, 4, 0xffff_ffff);
  assert.deepEqual([read(PCID), read(B0EJ), read(PCRM)], [0, 0, 1 << 24]);
});
