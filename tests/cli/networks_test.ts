/** `--net` as hv refuses it: one clear line. */

import { allRefused, type Refusal, Scratch } from "../support/hv_process.ts";

const USAGE = 2;
const HOST = 4;

Deno.test("networks that cannot be are refused, with what can", async () => {
  await allRefused([
    ["run --net bridge", USAGE, /--net bridge: .*tap=NAME.*socket=PATH/],
    ["run --net tap", USAGE, /--net tap: /],
    ["run --net tap=", USAGE, /--net tap=: /],
    ["run --net tap=x,listen", USAGE, /"listen" in --net tap=x,listen: tap takes /],
    ["run --net socket=/x,model=ne3000", USAGE, /model=ne3000 .*e1000/],
    ["run --net socket=/x,mac", USAGE, /"mac" in --net/],
    ["run --net socket=/x,mac=1:2", USAGE, /network address "1:2": six bytes/],
    ["run --net socket=/x,mac=01:00:00:00:00:01", USAGE, /first byte must be even/],
    ["run --net tap=a/b", USAGE, /the interface "a\/b": a name has 1 to 15 bytes/],
    [
      `run ${"--net tap=x ".repeat(9)}`,
      USAGE,
      /Cannot attach 9 network cards: the board has room for 8/,
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
  await allRefused(refusals);
});
