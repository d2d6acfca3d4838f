/** Debian's kernel on virtio devices by MMIO: the transport is another. */

import assert from "node:assert/strict";
import { guestTest, inTurn, PATIENCE_MS } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";
import { featuresOf, thereAndBack, withImage } from "./bodies/disk.ts";
import { deviceOf } from "./bodies/ports.ts";

const MIB = 2 ** 20;
/** Memory of the guest, and what the balloon is to leave of it: little more than it needs. */
const RAM_MIB = 136;
const LEFT_MIB = 72;
const PATIENCE = { timeoutMs: PATIENCE_MS };

/** Console, port, entropy and balloon. */
async function hasTheRest(guest: LinuxGuest): Promise<void> {
  const { machine } = guest;
  assert.equal(await guest.run("tty"), "/dev/hvc0");
  assert.equal(
    await guest.run("cat /sys/devices/virtual/misc/hw_random/rng_current"),
    "virtio_rng.0",
  );
  const port = machine.port("a");
  port.send("there\n");
  assert.equal(await guest.run(`head -n 1 ${deviceOf("a")}`), "there");
  await guest.run(`echo and back > ${deviceOf("a")}`);
  await port.expect("and back\n", PATIENCE);

  const balloon = machine.balloon!;
  balloon.target = `${LEFT_MIB}M`;
  await balloon.settled(PATIENCE);
  const { freeBytes } = await balloon.statistics(PATIENCE);
  assert.ok(freeBytes! < 20 * MIB, `${freeBytes}`);
  // More than is free: the driver takes back what it needs (DEFLATE_ON_OOM), and nobody is killed.
  await guest.run(
    "mount -t tmpfs -o size=90M tmpfs /tmp && dd if=/dev/zero of=/tmp/x bs=1M count=40",
  );
  assert.ok(balloon.actual > (LEFT_MIB + 16) * MIB, `${balloon.actual / MIB} MiB`);
  assert.equal(await guest.run("dmesg | grep -ci 'killed process'; true"), "0");
}

guestTest("a stock Linux kernel on virtio devices by MMIO", [
  {
    name: "finds by ACPI what is on no bus",
    needs: LINUX_GUEST,
    accelerator: "soft",
    body: (t) =>
      withImage(async (path) => {
        await using guest = await LinuxGuest.start({
          memory: `${RAM_MIB}M`,
          virtioTransport: "mmio",
          console: "virtio",
          disk: { path, interface: "virtio" },
          ports: ["a"],
          rng: true,
          balloon: true,
          modules: [
            ...["virtio_mmio", "virtio_console", "virtio_blk", "virtio_rng", "virtio_balloon"],
          ],
        });
        await inTurn(t, {
          "it has console, port, entropy and balloon, which gives way when memory is short": () =>
            hasTheRest(guest),
          "what goes through a disk comes back": async () => {
            guest.machine.balloon!.target = `${RAM_MIB}M`;
            await guest.run("umount /tmp");
            assert.equal((await featuresOf(guest))[32], "1", "VIRTIO_F_VERSION_1");
            await thereAndBack(guest, "-fasteoi");
          },
          "it powers off": () => guest.powerOff(),
        });
      }),
  },
]);
