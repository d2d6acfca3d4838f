/** Debian's kernel with drivers of other kinds than its usual one on virtio disks. */

import assert from "node:assert/strict";
import { guestTest, inTurn } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";
import { DISK_BYTES, featuresOf, thereAndBack, withImage } from "./bodies/disk.ts";

guestTest("a stock Linux kernel on virtio disks", [
  {
    name: "drivers of other kinds find a disk, and one that is read-only",
    needs: LINUX_GUEST,
    accelerator: "soft",
    body: (t) =>
      withImage((path) =>
        withImage(async (fixed) => {
          await Deno.writeFile(fixed, new Uint8Array(4096).fill(0x41), { create: false });
          await Deno.truncate(fixed, DISK_BYTES);
          await using guest = await LinuxGuest.start({
            disk: [
              { path, interface: "virtio" },
              { path: fixed, interface: "virtio", readOnly: true },
            ],
            modules: ["virtio_pci force_legacy=1", "virtio_blk"],
          });
          await inTurn(t, {
            "a legacy driver, and what goes through its rings comes back": async () => {
              const features = await featuresOf(guest);
              assert.equal(features[32], "0", "no VIRTIO_F_VERSION_1");
              assert.equal(features[9], "1", "VIRTIO_BLK_F_FLUSH");
              await thereAndBack(guest, "PCI-MSI");
            },
            "a driver without MSI-X is interrupted by the pin of its slot": async () => {
              await guest.run("rmmod virtio_blk virtio_pci && [ ! -e /dev/vda ]");
              await guest.run("for i in /sys/bus/pci/devices/*/msi_bus; do echo 0 > $i; done");
              await guest.run("modprobe virtio_pci && modprobe virtio_blk");
              const features = await featuresOf(guest);
              assert.equal(features[32], "1", "VIRTIO_F_VERSION_1");
              await thereAndBack(guest, "IO-APIC");
              assert.match(await guest.run("cat /proc/interrupts"), /IO-APIC.*virtio1/);
            },
            "a read-only disk is one": async () => {
              assert.equal(await guest.run("cat /sys/block/vdb/ro"), "1");
              assert.equal(await guest.run("head -c 4 /dev/vdb"), "AAAA");
            },
            "it powers off": () => guest.powerOff(),
          });
        })
      ),
  },
]);
