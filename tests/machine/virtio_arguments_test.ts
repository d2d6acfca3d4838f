import assert from "node:assert/strict";
import { commandLineOf } from "../../hv/machine/virtio_arguments.ts";

const machine = {
  drives: [{ interface: "virtio" }, { interface: "ide" }],
  rng: true,
  virtioTransport: "mmio",
} as const;

Deno.test("a kernel that is not to look at ACPI is told of virtio devices on its command line", () => {
  assert.equal(
    commandLineOf({ ...machine, append: "console=ttyS0 acpi=off" }),
    "console=ttyS0 acpi=off virtio_mmio.device=4096@0xfec40000:5 " +
      "virtio_mmio.device=4096@0xfec41000:5",
  );
});

Deno.test("others find them by ACPI or on the PCI bus, and their command line stays as it is", () => {
  assert.equal(commandLineOf({ ...machine, append: "quiet" }), "quiet");
  assert.equal(commandLineOf({ ...machine, append: "xacpi=off" }), "xacpi=off");
  assert.equal(
    commandLineOf({ ...machine, append: "acpi=off", virtioTransport: "pci" }),
    "acpi=off",
  );
});
