/** `--console virtio` and `--port`, with the Linux of `hv boot` at the other end. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { BUSYBOX, KERNEL, packageFolder } from "../../hv/linux/packages.ts";
import { allRefused, Scratch, startHv, until } from "../support/hv_process.ts";
import { findFile } from "../support/guest/guest_cache.ts";

const BYTES = 24 << 16;
const USAGE = 2;

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

Deno.test("ports and consoles that cannot be are refused, with what can", async () => {
  using scratch = new Scratch();
  await allRefused([
    ["run --console hvc0", USAGE, /--console hvc0: serial or virtio is possible/],
    [
      "run --console virtio=foo",
      USAGE,
      /--console virtio=foo: stdio, null, file:PATH or unix:PATH/,
    ],
    ["run --port agent", USAGE, /--port agent: NAME=stdio, null, file:PATH or unix:PATH is needed/],
    ["run --port =null", USAGE, /--port =null: NAME=/],
    ["run --port a=foo", USAGE, /--port a=foo: stdio, null/],
    ["run --port a/b=null", USAGE, /Cannot name a virtio port "a\/b": letters, digits/],
    ["run --port hvc0=null", USAGE, /Cannot name a virtio port "hvc0"/],
    [`run --port ${"n".repeat(65)}=null`, USAGE, /64 at most/],
    ["run --port a=null --port a=null", USAGE, /Cannot have two ports named "a"/],
    [
      `run ${Array.from({ length: 32 }, (_, i) => `--port p${i}=null`).join(" ")}`,
      USAGE,
      /Cannot have 32 virtio ports: the device has room for 31/,
    ],
    [
      `run --display none --port a=unix:${scratch.path}/no/where`,
      4,
      /Cannot listen on the socket .*no\/where: there is no such directory/,
    ],
  ]);
});
