/**
 * Crashes qcow2 images for as long as one likes: `deno run -A tests/devices/disk/qcow2/crash_run.ts [COUNT]`.
 * Prints the seed of every hundred; `HV_SEED` sets the first.
 */

import { Random, seed } from "../../../support/random.ts";
import { inDirectory } from "../conformance.ts";
import { crashMany } from "./crash.ts";

const HUNDRED = 100;
const count = Number(Deno.args[0] ?? 1000);
for (let done = 0, next = seed(); done < count; done += HUNDRED, next++) {
  console.log(`${done} crashes without a fault; HV_SEED=${next}`);
  inDirectory((directory) => crashMany(new Random(next), HUNDRED, directory));
}
console.log(`${count} crashes without a fault`);
