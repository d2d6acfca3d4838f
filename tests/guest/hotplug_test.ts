/** Debian's kernel, as it is, when disks come and go: it notices by itself, by ACPI. */

import assert from "node:assert/strict";
import { openDisk } from "../../devices/disk/open_disk.ts";
import type { Attachment } from "../../hv/mod.ts";
import { guestTest, inTurn, PATIENCE_MS } from "../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../support/guest/linux_guest.ts";
import { comeAndGo, compilerProblem, withProgram } from "./virtio/bodies/vsock.ts";

const MKFS = "/usr/sbin/mkfs.ext4";
const FSCK = "/usr/sbin/e2fsck";
const DEBUGFS = "/usr/sbin/debugfs";
const DISK_BYTES = 64 << 20;
const ROUNDS = 20;
const timeoutMs = PATIENCE_MS;

async function withImage(body: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "hv-test-disk-" });
  try {
    await Deno.truncate(path, DISK_BYTES);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

/** What a program of the host says. */
async function host(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(success, text(stdout) + text(stderr));
  return text(stdout);
}

const comes = "until [ -b /dev/vda ]; do sleep 0.05; done";
const goes = "while [ -b /dev/vda ]; do sleep 0.05; done";

/** The disk is on the image as the guest left it, and nobody has that open. */
async function isClean(path: string, file: string): Promise<void> {
  openDisk({ path })[Symbol.dispose]();
  await host(FSCK, "-fn", path);
  assert.equal(await host(DEBUGFS, "-R", "cat /file", path), `${file}\n`);
}

/** A server on the host's loopback that says `text`. */
function server(text: string): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response(text));
}

/** Two cards, one after the other, each used both ways. */
async function cards(guest: LinuxGuest): Promise<void> {
  await using host = server("from the host\n");
  const m = guest.machine;
  for (const octet of ["16", "17"]) {
    const mac = `52:54:00:00:00:${octet}`;
    const forwards = ["tcp:0:80"];
    const card = await m.attach({
      network: { model: "virtio", mac, end: { user: { forwards } } },
    });
    await guest.run("until [ -e /sys/class/net/eth0 ]; do sleep 0.05; done");
    assert.equal(await guest.run("cat /sys/class/net/eth0/address"), mac);
    await guest.run("ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0");
    const { port } = host.addr;
    assert.equal(await guest.run(`wget -qO- http://10.0.2.2:${port}/`), "from the host");
    await guest.run("mkdir -p /www && echo from the guest > /www/index.html");
    await guest.run("httpd -p 80 -h /www");
    const answer = await fetch(`http://127.0.0.1:${card.forwards[0].hostPort}/`);
    assert.equal(await answer.text(), "from the guest\n");
    await guest.run("killall httpd");
    for (const is of [0, 1]) {
      if (is === 0) card.cable!.unplug();
      else card.cable!.plug();
      await guest.run(`until [ $(cat /sys/class/net/eth0/carrier) = ${is} ]; do sleep 0.1; done`);
    }
    await m.detach(card, { timeoutMs });
    await guest.run("while [ -e /sys/class/net/eth0 ]; do sleep 0.05; done");
  }
}

/** Disks, one after the other, each written to. */
async function disks(guest: LinuxGuest, path: string): Promise<void> {
  const m = guest.machine;
  for (let round = 0; round < ROUNDS; round++) {
    const disk = await m.attach({ disk: path });
    await guest.run(comes);
    const text = `round ${round} `;
    await guest.run(`echo "${text}" | dd of=/dev/vda conv=fsync 2>/dev/null`);
    await m.detach(disk, { timeoutMs });
    await guest.run(goes);
    const written = new TextDecoder().decode(Deno.readFileSync(path).subarray(0, 512));
    assert.ok(written.startsWith(text), `round ${round}: ${written}`);
  }
}

/** A disk that is filled, and let go when it is asked for, or of the guest's own accord. */
async function fileSystems(guest: LinuxGuest, path: string): Promise<void> {
  const m = guest.machine;
  assert.equal(await guest.run("ls /sys/bus/pci/slots | wc -l"), "8");
  let disk: Attachment = await m.attach({ disk: { path, serial: "HOT" } });
  await guest.run(comes);
  assert.equal(await guest.run("cat /sys/block/vda/serial"), "HOT");
  assert.match(await guest.run("ls -l /sys/block/vda"), /0000:00:18\.0/);
  assert.match(await guest.run("cat /proc/interrupts"), /PCI-MSI.*virtio0-req\.1/);
  await guest.run("mkfs.ext4 -q /dev/vda && mount -t ext4 /dev/vda /mnt");
  await guest.run("echo first > /mnt/file && umount /mnt");
  await m.detach(disk, { timeoutMs });
  await guest.run(goes);
  await isClean(path, "first");

  // The guest's own user takes it out, and then it is asked for.
  disk = await m.attach({ disk: path });
  await guest.run(comes);
  await guest.run("mount -t ext4 /dev/vda /mnt && echo second > /mnt/file && umount /mnt");
  await guest.run("echo 1 > /sys/bus/pci/devices/0000:00:18.0/remove");
  await m.detach(disk, { timeoutMs });
  await isClean(path, "second");

  // The guest's own user switches the slot off: that is all it takes.
  disk = await m.attach({ disk: path });
  await guest.run(comes);
  await guest.run("mount -t ext4 /dev/vda /mnt && echo third > /mnt/file && umount /mnt");
  await guest.run("echo 0 > /sys/bus/pci/slots/24/power");
  await disk.left;
  await isClean(path, "third");

  // What is attached across a reset is there from the start.
  disk = await m.attach({ disk: path });
  await guest.run(comes);
  await m.reset();
  await guest.isUp();
  assert.equal(await guest.run("mount -t ext4 /dev/vda /mnt && cat /mnt/file"), "third");
  await guest.run("umount /mnt");
  await m.detach(disk, { timeoutMs });
}

guestTest("a stock Linux kernel when devices come and go", [
  {
    name: "it finds what comes by itself, uses it, and lets it go",
    needs: [...LINUX_GUEST, MKFS, FSCK, DEBUGFS],
    accelerator: "soft",
    body: (t) =>
      withImage((path) =>
        withProgram(async (directory, program) => {
          await using guest = await LinuxGuest.start({
            cpus: 2,
            modules: [
              ...["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4"],
              "vmw_vsock_virtio_transport",
            ],
            programs: [MKFS, ...program === undefined ? [] : [program]],
          });
          await inTurn(t, {
            "a disk is filled, and goes when it is asked for or of the guest's own accord": () =>
              fileSystems(guest, path),
            "network cards": () => cards(guest),
            [`${ROUNDS} disks, each of which is on the image afterwards`]: () => disks(guest, path),
            "a vsock and an entropy device": program === undefined
              ? compilerProblem()!
              : () => comeAndGo(guest, directory, program),
            "it powers off": () => guest.powerOff(),
          });
        })
      ),
  },
]);
