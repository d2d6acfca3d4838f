/** Whole guests on qcow2 images, and QEMU's tools on what they leave. */

import assert from "node:assert/strict";
import { Machine } from "../../hv/mod.ts";
import { guestTest, inTurn, PATIENCE_MS } from "../support/guest/guests.ts";
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

/** ext4 on a disk, made, filled and read back. */
async function fileSystem(guest: LinuxGuest, device: string): Promise<void> {
  await guest.run(`mkfs.ext4 -q ${device} && mount -t ext4 ${device} /mnt`);
  await guest.run("dd if=/dev/urandom of=/mnt/data bs=64k count=100 2>/dev/null");
  await guest.run("mkdir /mnt/d && for i in $(seq 200); do echo $i > /mnt/d/$i; done");
  const sum = await guest.run("md5sum < /mnt/data");
  await guest.run("rm /mnt/d/1* && sync");
  await guest.run(`umount /mnt && mount -t ext4 ${device} /mnt`);
  assert.equal(await guest.run("md5sum < /mnt/data"), sum);
  await guest.run(`umount /mnt && e2fsck -fn ${device}`);
}

/** The image at `path` is good for QEMU, and what is on it for the host's e2fsck. */
async function isGood(path: string): Promise<void> {
  qemuCheck(path);
  const raw = `${path}.raw`;
  qemuImg("convert", "-O", "raw", path, raw);
  const { success, stdout } = await new Deno.Command(FSCK, { args: ["-fn", raw] }).output();
  assert.ok(success, new TextDecoder().decode(stdout));
}

const skip = HAS_QEMU_IMG ? undefined : "qemu-img is not installed";

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
  {
    name: "Linux makes, fills and checks ext4",
    needs: [...LINUX_GUEST, MKFS, FSCK],
    accelerator: "soft",
    skip,
    body: (t) =>
      inDirectory(async (directory) => {
        const [virtio, ide] = [`${directory}/virtio.qcow2`, `${directory}/ide.qcow2`];
        qemuImg("create", "-f", "qcow2", virtio, "64M");
        qemuImg("create", "-f", "qcow2", `${directory}/base.qcow2`, "64M");
        const behind = ["-b", "base.qcow2", "-F", "qcow2", "-o", "cluster_size=4096"];
        qemuImg("create", "-f", "qcow2", ...behind, ide);
        await using guest = await LinuxGuest.start({
          disk: [{ path: virtio, interface: "virtio" }, { path: ide, interface: "ide" }],
          modules: ["virtio_pci", "virtio_blk", "ata_piix", "sd_mod", "ext4"],
          programs: [MKFS, FSCK],
        });
        await inTurn(t, {
          "on virtio": () => fileSystem(guest, "/dev/vda"),
          "on IDE over a backing file": () => fileSystem(guest, "/dev/sda"),
          "both are good for QEMU when it has powered off": async () => {
            await guest.powerOff();
            await guest[Symbol.asyncDispose]();
            for (const path of [virtio, ide]) await isGood(path);
          },
        });
      }),
  },
]);
