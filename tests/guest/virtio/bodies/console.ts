/** What a Linux guest is taken through on a virtio console and virtio entropy. */

import assert from "node:assert/strict";
import { PATIENCE_MS } from "../../../support/guest/guests.ts";
import type { LinuxGuest } from "../../../support/guest/linux_guest.ts";

const PATIENCE = { timeoutMs: PATIENCE_MS };
const RNG = "/sys/devices/virtual/misc/hw_random";
/** More than a ring has places. */
const LINES = 1000;

/** Its console is hvc0 instead of a serial port, with the terminal's size. */
export async function hasConsole(guest: LinuxGuest): Promise<void> {
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

/** It has random bytes of the host's. */
export async function hasEntropy(guest: LinuxGuest): Promise<void> {
  assert.equal(await guest.run(`cat ${RNG}/rng_current`), "virtio_rng.0");
  const bytes = await guest.run("dd if=/dev/hwrng bs=4096 count=4 2>/dev/null | tee /r | wc -c");
  assert.equal(bytes, "16384");
  // Neither zeros nor a pattern: compressed, random bytes become more.
  assert.ok(Number(await guest.run("gzip -c /r | wc -c")) > 16384);
}
