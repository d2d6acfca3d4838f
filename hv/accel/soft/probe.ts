/** How fast the software CPU is on this host. */

import { CountingLoop } from "../counting_loop.ts";
import { createSoftVm } from "./create.ts";

/** V8 optimizes the loop's functions meanwhile. */
const WARM_UP_ROUNDS = 1_000_000;
const ROUNDS = 2_000_000;

/** Instructions a second of a simple loop, in about a tenth of a second. */
export function probeSoft(): number {
  using loop = new CountingLoop((memory) => createSoftVm({ memory, cpus: 1 }), "kernel");
  loop.measure(WARM_UP_ROUNDS);
  return Math.max(loop.measure(ROUNDS), loop.measure(ROUNDS));
}
