/** How fast the software CPU is on this host. */

import { CountingLoop } from "../counting_loop.ts";
import { measureSpeed, type Speed } from "../speed.ts";
import { createSoftVm } from "./create.ts";

/** The loop is translated meanwhile, and V8 optimizes it. */
const WARM_UP_ROUNDS = 1_000_000;
const RUNS = { runs: 9, budgetMs: 150 };

/** Speed of a simple loop, in about a tenth of a second. */
export function probeSoft(): Speed {
  using loop = new CountingLoop((memory) => createSoftVm({ memory, cpus: 1 }), "kernel");
  loop.measure(WARM_UP_ROUNDS);
  return measureSpeed((rounds) => loop.measure(rounds), RUNS);
}
