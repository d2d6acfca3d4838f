/** Debian's kernel with its own drivers on a virtio console and virtio entropy by PCI. */

import assert from "node:assert/strict";
import { guestTest, inTurn, PATIENCE_MS } from "../../support/guest/guests.ts";
import { LINUX_GUEST, LinuxGuest } from "../../support/guest/linux_guest.ts";

const PATIENCE = { timeoutMs: PATIENCE_MS };
const RNG = "/sys/devices/virtual/misc/hw_random";
/** More than a ring has places. */
const LINES = 1000;

async function hasConsole(guest: LinuxGuest): Promise<void> {
  const { machine } = guest;
  assert.equal(machine.console.name, "hvc0");
  assert.equal(await guest.run("tty"), "/dev/hvc0");
  assert.equal(await guest.run("cat /sys/class/tty/ttyS0/type"), "0", "there is no UART");
  assert.equal(await guest.run("stty size"), "25 80");
  machine.port("hvc0").resize({ columns: 132, rows: 43 });
  assert.equal(await guest.run("until stty size | grep -x '43 132'; do :; done"), "43 132");
  // The kernel's log goes there, too.
  assert.match(await guest.run("cat /proc/consoles"), /^hvc0 .*EC/m);
  machine.console.send("dmesg -n 8; echo '<1>seen' > /dev/kmsg\n");
  await machine.console.expect(/\] seen/, PATIENCE);
  await guest.run("dmesg -n 1");
  const lines = await guest.run(`seq 1 ${LINES}`);
  assert.equal(lines.split("\n").length, LINES);
  assert.equal(lines, Array.from({ length: LINES }, (_, i) => i + 1).join("\n"));
}

async function hasEntropy(guest: LinuxGuest): Promise<void> {
  assert.equal(await guest.run(`cat ${RNG}/rng_current`), "virtio_rng.0");
  const bytes = await guest.run("dd if=/dev/hwrng bs=4096 count=4 2>/dev/null | tee /r | wc -c");
  assert.equal(bytes, "16384");
  // Neither zeros nor a pattern: compressed, random bytes become more.
  assert.ok(Number(await guest.run("gzip -c /r | wc -c")) > 16384);
}

guestTest("a stock Linux kernel on virtio devices by PCI", [
  {
    name: "finds what is there by itself",
    needs: LINUX_GUEST,
    accelerator: "soft",
    async body(t) {
      await using guest = await LinuxGuest.start({
        console: "virtio",
        rng: true,
        modules: ["virtio_pci", "virtio_console", "virtio_rng"],
      });
      await inTurn(t, {
        "hvc0 is the console instead of a serial port, with a shell and the terminal's size": () =>
          hasConsole(guest),
        "random bytes come from the entropy device": () => hasEntropy(guest),
        "it powers off": () => guest.powerOff(),
      });
    },
  },
]);
