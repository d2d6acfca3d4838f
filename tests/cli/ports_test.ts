/** `--console virtio` and `--port` in words that are refused; tests/guest/hv_boot_test.ts has a Linux there. */

import { allRefused, Scratch } from "../support/hv_process.ts";

const USAGE = 2;

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
