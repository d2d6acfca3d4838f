/** `--net` as hv refuses it: one clear line. */

import { allRefused, type Refusal, Scratch } from "../support/hv_process.ts";

const USAGE = 2;
const HOST = 4;

Deno.test("networks that cannot be are refused, with what can", async () => {
  await allRefused([
    ["run --net bridge", USAGE, /--net bridge: .*tap=NAME.*socket=PATH/],
    ["run --net user=x", USAGE, /--net user=x: user, tap=NAME or socket=PATH/],
    [
      "run --net user,listen",
      USAGE,
      /"listen" in --net user,listen: user takes forward=…, restrict, via=…/,
    ],
    ["run --net user,forward=22", USAGE, /Cannot forward "22": write tcp:HOSTPORT:GUESTPORT/],
    ["run --net user,forward=tcp:x:1:2", USAGE, /Cannot forward "tcp:x:1:2"/],
    ["run --net user,forward=tcp:70000:2", USAGE, /Cannot forward "tcp:70000:2"/],
    ["run --net user,forward=tcp:1:0", USAGE, /Cannot forward "tcp:1:0"/],
    ["run --net none --net user", USAGE, /--net none beside other networks: leave it out/],
    ["run --net tap", USAGE, /--net tap: /],
    ["run --net tap=", USAGE, /--net tap=: /],
    ["run --net tap=x,listen", USAGE, /"listen" in --net tap=x,listen: tap takes /],
    ["run --net socket=/x,model=ne3000", USAGE, /model=ne3000 .*e1000/],
    ["run --net user,iobase=0x300", USAGE, /Cannot set iobase or irq of .*"e1000": it is on PCI/],
    ["run --net user,model=ne2k_isa,iobase=0x3f8", USAGE, /at iobase 1016: 0x240, .*0x340 are/],
    ["run --net user,model=ne2k_isa,irq=x", USAGE, /"x" in --net .*: a number is needed/],
    ["run --net user,model=ne2k_isa,irq=6", USAGE, /irq 6: 3, 4, 5, 7, 9, /],
    [
      "run --net user,model=ne2k_isa --net user,model=ne2k_isa",
      USAGE,
      /two network cards at the same ports: say iobase/,
    ],
    ["run --net socket=/x,mac", USAGE, /"mac" in --net/],
    ["run --net socket=/x,mac=1:2", USAGE, /network address "1:2": six bytes/],
    ["run --net socket=/x,mac=01:00:00:00:00:01", USAGE, /first byte must be even/],
    ["run --net user,bps=fast", USAGE, /bps=fast: a number like 500, 20K or 10M/],
    ["run --net user,bps=0", USAGE, /Cannot limit a network to 0 bytes a second/],
    ["run --net tap=a/b", USAGE, /the interface "a\/b": a name has 1 to 15 bytes/],
    [
      `run ${"--net tap=x ".repeat(9)}`,
      USAGE,
      /Cannot attach 9 network cards: the board has room for 8/,
    ],
    [
      `run ${"--disk x,if=virtio ".repeat(16)} ${"--net user ".repeat(6)}`,
      USAGE,
      /Cannot put 22 network cards and virtio devices on the PCI bus: the board has room for 21/,
    ],
  ]);
});

Deno.test("ends that are not there, or not to be had, are refused", async () => {
  using scratch = new Scratch();
  const file = scratch.file("plain", 1);
  const long = `${scratch.path}/${"x".repeat(100)}`;
  const refusals: Refusal[] = [
    [`run --net socket=${scratch.path}/none`, HOST, /no such file.*start its other end first/],
    [`run --net socket=${file},listen`, HOST, /use the address .*plain: address already in use/],
    [`run --net socket=${long},listen`, USAGE, /at most 107 bytes/],
  ];
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const used = new RegExp(
    `forward tcp:127.0.0.1:${port} to the guest: address already in use; choose another`,
  );
  refusals.push([`run --net user,forward=tcp:${port}:22`, HOST, used]);
  refusals.push([`run --net user,forward=tcp:203.0.113.7:${port}:22`, HOST, /not of this host/]);
  await allRefused(refusals);
  taken.close();
});
