/** What a Linux guest is taken through on virtio disks, whatever they are attached by. */

import assert from "node:assert/strict";
import type { LinuxGuest } from "../../../support/guest/linux_guest.ts";

/** Programs of the host that make a file system, and look whether it is one. */
export const MKFS = "/usr/sbin/mkfs.ext4";
/** See above. */
export const FSCK = "/usr/sbin/e2fsck";
/** What a test's disk has. */
export const DISK_BYTES = 64 << 20;

/** Runs `body` with the image of an empty disk. */
export async function withImage(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "hv-test-disk-" });
  try {
    await Deno.truncate(path, DISK_BYTES);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

/** Looks at the features of the disk's driver, a character for each bit. */
export async function featuresOf(guest: LinuxGuest): Promise<string> {
  return await guest.run("cat /sys/block/vda/device/features");
}

/** Copies to the disk and back, by interrupts as `how` in `/proc/interrupts`, where the driver has a name. */
export async function thereAndBack(guest: LinuxGuest, how: string): Promise<void> {
  await guest.run("dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null");
  await guest.run("dd if=/tmp/data of=/dev/vda bs=64k 2>/dev/null && sync");
  await guest.run("echo 1 > /proc/sys/vm/drop_caches && head -c 2097152 /dev/vda > /tmp/back");
  await guest.run("cmp /tmp/data /tmp/back && rm /tmp/data /tmp/back");
  const device = await guest.run("basename $(readlink /sys/block/vda/device)");
  const interrupts = await guest.run("cat /proc/interrupts");
  assert.match(interrupts, new RegExp(`${how}.*\\b${device}\\b`));
}

/**
 * ext4 on a disk of two queues at `path`, whose serial number is DATA-1: made, filled, read back, trimmed
 * and checked.
 */
export async function ext4(guest: LinuxGuest, path: string): Promise<void> {
  assert.equal(await guest.run("cat /sys/block/vda/size"), String(DISK_BYTES / 512));
  assert.equal(await guest.run("ls /sys/block/vda/mq | wc -l"), "2", "a queue a processor");
  assert.equal(await guest.run("cat /sys/block/vda/serial"), "DATA-1");
  assert.equal(await guest.run("cat /sys/block/vda/queue/write_cache"), "write back");
  assert.equal(await guest.run("cat /sys/block/vda/queue/physical_block_size"), "4096");
  const device = await guest.run("basename $(readlink /sys/block/vda/device)");
  const interrupts = await guest.run("cat /proc/interrupts");
  assert.match(interrupts, new RegExp(`PCI-MSI.*${device}-req\\.1`));
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
}
