/** What a Linux guest is taken through on virtio ports. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Machine } from "../../../../hv/mod.ts";
import { PATIENCE_MS } from "../../../support/guest/guests.ts";
import type { LinuxGuest } from "../../../support/guest/linux_guest.ts";

/** The ports that the guest is to have. */
export const PORTS = ["org.example.in", "org.example.out", "both"];
const MEBIBYTES = 2;
const PATIENCE = { timeoutMs: PATIENCE_MS };

/** Bytes without a period that a ring's or a buffer's length could hide in. */
function someBytes(length: number, seed: number): Uint8Array {
  let state = seed;
  return new Uint8Array(length).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex");

/** Waits until the guest has sent `length` bytes to a port. */
async function received(machine: Machine, name: string, length: number): Promise<Uint8Array> {
  const port = machine.port(name);
  const deadline = performance.now() + PATIENCE_MS;
  while (port.bytes.length < length) {
    assert.ok(performance.now() < deadline, `${port.bytes.length} of ${length} bytes have come`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return port.bytes;
}

/** A device file by the name that the host has given its port. */
export const deviceOf = (name: string) =>
  `/dev/$(basename $(dirname $(grep -lx ${name} /sys/class/virtio-ports/*/name)))`;

/** Named ports carry megabytes both ways at once, unharmed, and say when they are open. */
export async function carryMegabytes(guest: LinuxGuest): Promise<void> {
  const { machine } = guest;
  const names = await guest.run("cat /sys/class/virtio-ports/*/name");
  assert.equal(names, "org.example.in\norg.example.out\nboth");
  for (const [i, name] of PORTS.entries()) {
    await guest.run(`ln -s ${deviceOf(name)} /p${i}`);
  }
  const length = MEBIBYTES << 20;
  const data = someBytes(length, 1);
  const input = machine.port("org.example.in");
  // More than any buffer has room for, before anybody reads it.
  input.send(data);
  assert.equal(input.isOpen, false);
  await guest.run(
    `dd if=/dev/urandom of=/data bs=65536 count=${length >> 16} 2>/dev/null;` +
      `cat /data > /p1 & head -c ${length} /p0 > /got; wait`,
  );
  const sums = (await guest.run("md5sum /got /data")).split("\n").map((line) => line.split(" ")[0]);
  assert.equal(sums[0], md5(data), "host to guest");
  const sent = await received(machine, "org.example.out", length);
  assert.equal(sums[1], md5(sent), "guest to host");
  assert.equal(input.pendingBytes, 0);

  const both = machine.port("both");
  machine.console.send('exec 3<>/p2; read -r line <&3; echo "guest: $line" >&3\n');
  await both.opened(PATIENCE);
  both.send("hello\n");
  await both.expect("guest: hello", PATIENCE);
  await guest.run("exec 3>&-");
  assert.equal(both.isOpen, false);
  both.isConnected = false;
  assert.equal(await guest.run("cat /p2 | wc -c"), "0", "nobody at the host's end");
  await guest.run("rm /data /got");
}
