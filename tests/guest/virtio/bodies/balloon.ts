/** What a Linux guest is taken through on a virtio balloon, and what the host gets back. */

import assert from "node:assert/strict";
import { PATIENCE_MS } from "../../../support/guest/guests.ts";
import type { LinuxGuest } from "../../../support/guest/linux_guest.ts";

const MIB = 2 ** 20;
/** Memory of the guest: no other mapping of the process has as much. */
export const RAM_MIB = 212;
const FILE_MIB = 64;
const PATIENCE = { timeoutMs: PATIENCE_MS };

/** Resident bytes of this process's mappings that are large enough to have the machine's memory. */
function residentBytes(): number {
  const mappings = Deno.readTextFileSync("/proc/self/smaps").split(/^(?=[0-9a-f]+-)/m);
  const kib = (text: string, what: string) =>
    Number(RegExp(`^${what}: +(\\d+) kB`, "m").exec(text)?.[1]);
  return mappings.filter((text) => / rw-p /.test(text) && kib(text, "Size") >= RAM_MIB * 1024)
    .reduce((sum, text) => sum + kib(text, "Rss") * 1024, 0);
}

/**
 * Gives up half of its memory and takes it back while a memory test goes on; what is free goes to the host.
 */
export async function givesMemory(guest: LinuxGuest): Promise<void> {
  // What other steps have read is not free.
  await guest.run("echo 3 > /proc/sys/vm/drop_caches");
  const { balloon } = guest.machine;
  assert.ok(balloon);
  const said = await balloon.statistics(PATIENCE);
  assert.ok(
    said.totalBytes! > 128 * MIB && said.totalBytes! < RAM_MIB * MIB,
    `${said.totalBytes}`,
  );
  assert.ok(said.freeBytes! > 64 * MIB && said.freeBytes! <= said.totalBytes!);

  // The memory test: files with their sums, looked at again and again.
  await guest.run(
    "mount -t tmpfs tmpfs /tmp; cd /tmp; dd if=/dev/urandom of=0 bs=64k count=16 2>/dev/null;" +
      "for i in 1 2 3; do cat 0 | tr '\\000-\\377' '\\001-\\377\\000' > $i; done;" +
      "md5sum 0 1 2 3 > /sums; ls -s",
  );
  await guest.run(
    "(while [ ! -e /stop ]; do md5sum -c /sums || touch /bad; echo x >> /rounds; done) " +
      "> /log 2>&1 & true",
  );
  for (const target of [RAM_MIB / 2, RAM_MIB]) {
    balloon.target = `${target}M`;
    await balloon.settled(PATIENCE);
    assert.equal(balloon.actual, target * MIB);
    // At least one whole round after it.
    await guest.run(
      "n=$(wc -l < /rounds); until [ $(wc -l < /rounds) -gt $((n + 1)) ]; do sleep 1; done",
    );
    // With DEFLATE_ON_OOM, Linux counts what it has given up as used.
    const { freeBytes } = await balloon.statistics(PATIENCE);
    const gone = said.freeBytes! - freeBytes! - (RAM_MIB - target) * MIB;
    assert.ok(Math.abs(gone) < 24 * MIB, `${gone / MIB} MiB are elsewhere`);
  }
  await guest.run("touch /stop; wait; [ ! -e /bad ]");
  assert.match(await guest.run("cat /log"), /^(?:[0-3]: OK\n?)+$/);
  assert.ok(balloon.returnedBytes >= RAM_MIB / 2 * MIB);

  // Free pages are reported, some time after they have become free.
  await guest.run(`dd if=/dev/zero of=/tmp/large bs=1M count=${FILE_MIB} 2>/dev/null`);
  const full = residentBytes();
  await guest.run("rm /tmp/large");
  const deadline = performance.now() + PATIENCE_MS;
  while (full - residentBytes() < FILE_MIB / 4 * MIB) {
    assert.ok(performance.now() < deadline, `${full / MIB} MiB were resident, and are`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
