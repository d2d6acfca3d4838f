/** Whole guests on qcow2 images, and QEMU's tools on what they leave. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { type GuestCase, guestTest, PATIENCE_MS } from "../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../support/guest/linux_guest.ts";
import { HAS_QEMU_IMG, qemuCheck, qemuImg } from "../support/guest/qemu_img.ts";

const MKFS = "/usr/sbin/mkfs.ext4";
const FSCK = "/usr/sbin/e2fsck";
const GRUB = "/usr/lib/grub-rescue/grub-rescue-usb.img";
const timeoutMs = 3 * PATIENCE_MS;

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "hv-test-qcow2-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** ext4 on the disk at `path`, over virtio or IDE, made, filled, and good for everybody. */
async function fileSystem(path: string, behind: "virtio" | "ide", directory: string) {
  const [device, modules] = behind === "virtio"
    ? ["/dev/vda", ["virtio_pci", "virtio_blk", "ext4"]]
    : ["/dev/sda", ["ata_piix", "sd_mod", "ext4"]];
  await using guest = await LinuxGuest.start({
    disk: { path, interface: behind },
    modules,
    programs: [MKFS, FSCK],
  });
  await guest.run(`mkfs.ext4 -q ${device} && mount -t ext4 ${device} /mnt`);
  await guest.run("dd if=/dev/urandom of=/mnt/data bs=64k count=100 2>/dev/null");
  await guest.run("mkdir /mnt/d && for i in $(seq 200); do echo $i > /mnt/d/$i; done");
  const sum = await guest.run("md5sum < /mnt/data");
  await guest.run("rm /mnt/d/1* && sync");
  await guest.run(`umount /mnt && mount -t ext4 ${device} /mnt`);
  assert.equal(await guest.run("md5sum < /mnt/data"), sum);
  await guest.run(`umount /mnt && e2fsck -fn ${device}`);
  await guest.powerOff();
  await guest[Symbol.asyncDispose]();
  qemuCheck(path);
  const raw = `${directory}/as-qemu-reads-it.raw`;
  qemuImg("convert", "-O", "raw", path, raw);
  const { success, stdout } = await new Deno.Command(FSCK, { args: ["-fn", raw] }).output();
  assert.ok(success, new TextDecoder().decode(stdout));
}

const skip = HAS_QEMU_IMG ? undefined : "qemu-img is not installed";

const linux = (
  name: string,
  behind: "virtio" | "ide",
  make: (path: string, directory: string) => void,
): GuestCase => ({
  name,
  needs: [...LINUX_GUEST, MKFS, FSCK],
  accelerator: "soft",
  skip,
  body: () =>
    inDirectory(async (directory) => {
      const path = `${directory}/disk.qcow2`;
      make(path, directory);
      await fileSystem(path, behind, directory);
    }),
});

guestTest("guests on qcow2 images", [
  {
    name: "GRUB boots from a compressed image through a new overlay",
    needs: [GRUB],
    accelerator: "soft",
    skip,
    body: () =>
      inDirectory(async (directory) => {
        const path = `${directory}/grub.qcow2`;
        qemuImg("convert", "-c", "-O", "qcow2", GRUB, path);
        const overlay = `${directory}/overlay.qcow2`;
        await using m = await Machine.start({
          memory: "64M",
          accelerator: "soft",
          disk: { path, overlay },
        });
        await m.screen.waitFor(/GNU GRUB +version 2[^]*`c' for a command-line/, { timeoutMs });
        await m.keyboard.type("c", { timeoutMs });
        await m.screen.waitFor(/grub>$/, { timeoutMs });
        await m.keyboard.type("ls\n", { timeoutMs });
        await m.screen.waitFor(/grub> ls\n\(hd0\) \(hd0,msdos1\)\s*grub>$/, { timeoutMs });
        await m[Symbol.asyncDispose]();
        qemuCheck(overlay);
      }),
  },
  linux("Linux makes, fills and checks ext4 on virtio", "virtio", (path) => {
    qemuImg("create", "-f", "qcow2", path, "64M");
  }),
  linux(
    "Linux makes, fills and checks ext4 on IDE over a backing file",
    "ide",
    (path, directory) => {
      qemuImg("create", "-f", "qcow2", `${directory}/base.qcow2`, "64M");
      const behind = ["-b", "base.qcow2", "-F", "qcow2", "-o", "cluster_size=4096"];
      qemuImg("create", "-f", "qcow2", ...behind, path);
    },
  ),
]);
