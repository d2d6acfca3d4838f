/** Debian's kernel with its own driver on virtio disks, and the host's e2fsprogs on what it leaves. */

import assert from "node:assert/strict";
import { guestTest, inTurn } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";

const MKFS = "/usr/sbin/mkfs.ext4";
const FSCK = "/usr/sbin/e2fsck";
const DISK_BYTES = 64 << 20;

async function withImage(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "hv-test-disk-" });
  try {
    await Deno.truncate(path, DISK_BYTES);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

/** Copies to the disk and back, by the interrupts that `/proc/interrupts` is to show. */
async function thereAndBack(guest: LinuxGuest, interrupts: RegExp): Promise<void> {
  await guest.run("dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null");
  await guest.run("dd if=/tmp/data of=/dev/vda bs=64k 2>/dev/null && sync");
  await guest.run("echo 1 > /proc/sys/vm/drop_caches && head -c 2097152 /dev/vda > /tmp/back");
  await guest.run("cmp /tmp/data /tmp/back");
  assert.match(await guest.run("cat /proc/interrupts"), interrupts);
}

/** A guest that copies to the disk and back, with a driver whose features are looked at. */
function copies(
  options: Parameters<typeof LinuxGuest.start>[0],
  look: (features: string) => void,
  interrupts = /virtio0/,
): Promise<void> {
  return withImage(async (path) => {
    await using guest = await LinuxGuest.start({ disk: { path, interface: "virtio" }, ...options });
    look(await guest.run("cat /sys/bus/virtio/devices/virtio0/features"));
    await thereAndBack(guest, interrupts);
    await guest.powerOff();
  });
}

guestTest("a stock Linux kernel on virtio disks", [
  {
    name: "ext4 is made, filled and read back with equal checksums, and fsck is clean",
    needs: [...LINUX_GUEST, MKFS, FSCK],
    accelerator: "soft",
    body: () =>
      withImage(async (path) => {
        await using guest = await LinuxGuest.start({
          cpus: 2,
          disk: { path, interface: "virtio", serial: "DATA-1" },
          modules: ["virtio_pci", "virtio_blk", "ext4"],
          programs: [MKFS, FSCK],
        });
        assert.equal(await guest.run("cat /sys/block/vda/size"), String(DISK_BYTES / 512));
        assert.equal(await guest.run("ls /sys/block/vda/mq | wc -l"), "2", "a queue a processor");
        assert.equal(await guest.run("cat /sys/block/vda/serial"), "DATA-1");
        assert.equal(await guest.run("cat /sys/block/vda/queue/write_cache"), "write back");
        assert.equal(await guest.run("cat /sys/block/vda/queue/physical_block_size"), "4096");
        assert.match(await guest.run("cat /proc/interrupts"), /PCI-MSI.*virtio0-req\.1/);
        await guest.run("mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /mnt");
        await guest.run("dd if=/dev/urandom of=/mnt/data bs=64k count=100 2>/dev/null");
        await guest.run("mkdir /mnt/d && for i in $(seq 100); do echo $i > /mnt/d/$i; done");
        const sum = await guest.run("md5sum < /mnt/data");
        const names = await guest.run("cat /mnt/d/* | md5sum");
        await guest.run("umount /mnt && mount -t ext4 /dev/vda /mnt");
        assert.equal(await guest.run("md5sum < /mnt/data"), sum);
        assert.equal(await guest.run("cat /mnt/d/* | md5sum"), names);
        // What is not used any more goes back to the host.
        await guest.run("rm /mnt/data && sync");
        const full = (await Deno.stat(path)).blocks!;
        await guest.run("fstrim /mnt");
        const trimmed = (await Deno.stat(path)).blocks!;
        assert.ok(trimmed < full - 50 * 128, `${full} blocks before, ${trimmed} after`);
        await guest.run("umount /mnt && e2fsck -fn /dev/vda");
        await guest.powerOff();
        const { success, stdout } = await new Deno.Command(FSCK, { args: ["-fn", path] }).output();
        assert.ok(success, new TextDecoder().decode(stdout));
      }),
  },
  {
    name: "packed rings are taken by the driver, and what goes through them comes back",
    needs: LINUX_GUEST,
    accelerator: "soft",
    body: () =>
      copies({ virtioPacked: true, modules: ["virtio_pci", "virtio_blk"] }, (features) => {
        assert.equal(features[34], "1", "VIRTIO_F_RING_PACKED");
      }),
  },
  {
    name: "a driver finds by ACPI a disk that is on no bus, and what goes through it comes back",
    needs: LINUX_GUEST,
    accelerator: "soft",
    body: () =>
      copies({ virtioTransport: "mmio", modules: ["virtio_mmio", "virtio_blk"] }, (features) => {
        assert.equal(features[32], "1", "VIRTIO_F_VERSION_1");
      }, /5-fasteoi +virtio0/),
  },
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
              const features = await guest.run("cat /sys/bus/virtio/devices/virtio0/features");
              assert.equal(features[32], "0", "no VIRTIO_F_VERSION_1");
              assert.equal(features[9], "1", "VIRTIO_BLK_F_FLUSH");
              await thereAndBack(guest, /PCI-MSI.*virtio0/);
            },
            "a driver without MSI-X is interrupted by the pin of its slot": async () => {
              await guest.run("rmmod virtio_blk virtio_pci && [ ! -e /dev/vda ]");
              await guest.run("for i in /sys/bus/pci/devices/*/msi_bus; do echo 0 > $i; done");
              await guest.run("modprobe virtio_pci && modprobe virtio_blk");
              const features = await guest.run("cat /sys/bus/virtio/devices/virtio0/features");
              assert.equal(features[32], "1", "VIRTIO_F_VERSION_1");
              await thereAndBack(guest, /IO-APIC.*virtio0/);
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
