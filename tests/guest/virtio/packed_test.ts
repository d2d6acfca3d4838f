/** Debian's kernel with its own drivers on virtio devices whose rings are packed. */

import assert from "node:assert/strict";
import { guestTest, inTurn } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";
import { featuresOf, thereAndBack, withImage } from "./bodies/disk.ts";
import { carryMegabytes, PORTS } from "./bodies/ports.ts";

guestTest("a stock Linux kernel on virtio devices with packed rings", [
  {
    name: "its drivers take them",
    needs: LINUX_GUEST,
    accelerator: "soft",
    body: (t) =>
      withImage(async (path) => {
        await using guest = await LinuxGuest.start({
          virtioPacked: true,
          disk: { path, interface: "virtio" },
          ports: PORTS,
          modules: ["virtio_pci", "virtio_console", "virtio_blk"],
        });
        await inTurn(t, {
          "what goes through those of a disk comes back": async () => {
            assert.equal((await featuresOf(guest))[34], "1", "VIRTIO_F_RING_PACKED");
            await thereAndBack(guest, "PCI-MSI");
          },
          "named ports carry megabytes both ways at once, unharmed, and say when they are open":
            () => carryMegabytes(guest),
          "it powers off": () => guest.powerOff(),
        });
      }),
  },
]);
