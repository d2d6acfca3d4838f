/** `hv boot` without an image, as a user runs it: a Linux that comes to its shell. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { BUSYBOX, KERNEL, packageFolder } from "../../hv/linux/packages.ts";
import { findFile } from "../support/guest/guest_cache.ts";
import { hv, Scratch, startHv, until } from "../support/hv_process.ts";

/** A script finds drivers and the network's address there, without waiting. */
const SCRIPT = "modprobe -D virtio_blk; lsmod | grep ata_piix; " +
  "ifconfig | grep 10.0.2.15; poweroff\n";

Deno.test("hv boot comes to a shell in Debian's Linux, which answers and powers off", async () => {
  if (![KERNEL, BUSYBOX].every((one) => findFile(packageFolder(one), "") !== undefined)) {
    return console.log("skipped: run tests/fetch_guests.ts first");
  }
  // All of it is in the pipe before the guest has a serial driver.
  const { code, stdout: text, stderr } = await hv(["boot", "--timeout", "580"], {
    stdin: SCRIPT,
  });
  assert.equal(code, 0, `${text}\n${stderr}`);
  assert.match(text, /Linux 6\.\S+ with busybox[^]*1 x .*MiB free for use/);
  assert.match(
    text,
    /insmod \S*virtio_ring\.ko[^]*insmod \S*virtio_blk\.ko[^]*\nata_piix +\d[^]*inet addr:10\.0\.2\.15/,
  );
});

const BYTES = 24 << 16;

/**
 * Device files of the ports; data out and in again through the one, its sums into the other. The first
 * stays open: Linux forgets what has come when a port is closed.
 */
const COMMANDS = `
until [ "$(cat /sys/class/virtio-ports/*/name | grep -cx -e data -e sums)" = 2 ]; do sleep 1; done
port() { echo /dev/$(basename $(dirname $(grep -lx $1 /sys/class/virtio-ports/*/name))); }
dd if=/dev/urandom of=/x bs=64k count=${BYTES >> 16}
tty; echo "now"" the data"
exec 3<>$(port data)
cat /x >&3
head -c ${BYTES} <&3 | md5sum > /sums
md5sum < /x >> /sums
cat /sums > $(port sums)
poweroff
`;

Deno.test("a console on hvc0, a port on a socket whose client is slow, and one on a file", async () => {
  if (![KERNEL, BUSYBOX].every((one) => findFile(packageFolder(one), "") !== undefined)) {
    return console.log("skipped: run tests/fetch_guests.ts first");
  }
  using scratch = new Scratch();
  const [socket, sums] = [`${scratch.path}/data.sock`, `${scratch.path}/sums`];
  const process = startHv(
    [
      ...["boot", "--accel", "soft", "--display", "none", "--console", "virtio"],
      // Whatever hangs ends here.
      ...["--timeout", "580"],
      ...["--port", `data=unix:${socket}`, "--port", `sums=file:${sums}`],
    ],
    { stdin: "" },
  );
  try {
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(COMMANDS));
    await writer.close();
    assert.match(await until(process.stdout, "now the data"), /^\/dev\/hvc0\r?\n/m);
    // Nobody was there until now: the guest has waited. What it sends is read in small pieces.
    const client = await Deno.connect({ transport: "unix", path: socket });
    const got = new Uint8Array(BYTES);
    for (let length = 0; length < BYTES;) {
      const read = await client.read(got.subarray(length, length + 10_000));
      assert.ok(read !== null, `the socket ended after ${length} bytes`);
      length += read;
    }
    const sum = createHash("md5").update(got).digest("hex");
    for (let sent = 0; sent < BYTES;) sent += await client.write(got.subarray(sent));
    const { code } = await process.status;
    assert.equal(code, 0);
    assert.equal(await client.read(got), null);
    client.close();
    assert.equal(Deno.readTextFileSync(sums), `${sum}  -\n${sum}  -\n`);
  } finally {
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await process.stdout.cancel();
    await process.stderr.cancel();
  }
});
