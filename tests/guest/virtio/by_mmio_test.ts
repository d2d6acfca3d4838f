/** Debian's kernel on virtio console, port, entropy and balloon by MMIO: the transport is another. */

import assert from "node:assert/strict";
import { guestTest, PATIENCE_MS } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";

const MIB = 2 ** 20;
const PATIENCE = { timeoutMs: PATIENCE_MS };

guestTest("a stock Linux kernel on virtio devices by MMIO", [
  {
    name: "has console, port, entropy and balloon, which gives way when memory is short",
    needs: LINUX_GUEST,
    accelerator: "soft",
    async body() {
      await using guest = await LinuxGuest.start({
        memory: "128M",
        virtioTransport: "mmio",
        console: "virtio",
        ports: ["a"],
        rng: true,
        balloon: true,
        modules: ["virtio_mmio", "virtio_console", "virtio_rng", "virtio_balloon"],
      });
      const { machine } = guest;
      assert.equal(await guest.run("tty"), "/dev/hvc0");
      assert.equal(
        await guest.run("cat /sys/devices/virtual/misc/hw_random/rng_current"),
        "virtio_rng.0",
      );
      const port = machine.port("a");
      port.send("there\n");
      assert.equal(await guest.run("head -n 1 /dev/vport1p0"), "there");
      await guest.run("echo and back > /dev/vport1p0");
      await port.expect("and back\n", PATIENCE);

      const balloon = machine.balloon!;
      balloon.target = "64M";
      await balloon.settled(PATIENCE);
      const { freeBytes } = await balloon.statistics(PATIENCE);
      assert.ok(freeBytes! < 20 * MIB, `${freeBytes}`);
      // More than is free: the driver takes back what it needs (DEFLATE_ON_OOM), and nobody is killed.
      await guest.run(
        "mount -t tmpfs -o size=90M tmpfs /tmp && dd if=/dev/zero of=/tmp/x bs=1M count=40",
      );
      assert.ok(balloon.actual > 64 * MIB + 16 * MIB, `${balloon.actual / MIB} MiB`);
      assert.equal(await guest.run("dmesg | grep -ci 'killed process'; true"), "0");
      await guest.powerOff();
    },
  },
]);
