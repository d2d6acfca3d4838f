/**
 * Hostile drivers of virtio devices for as long as one likes (steps.ts says what they do): the host must
 * not throw, hang or grow, and devices do what the standard says.
 *
 *     deno run -A tests/devices/virtio/hostile/hostile_run.ts [steps a device] [seed] [device] [pci|mmio]
 */

import { TRANSPORTS } from "./transports/attach_transport.ts";
import { HostileDriver } from "./hostile_driver.ts";
import { SUBJECTS } from "./subjects/subjects.ts";

const steps = Number(Deno.args[0] ?? 100_000);
const seed = Number(Deno.args[1] ?? Date.now() % 1_000_000);
const wanted = Deno.args[2];
const transport = Deno.args[3] === "mmio" ? "mmio" : "pci";
const MIB = 2 ** 20;

let failed = false;
for (const [name, make] of Object.entries(SUBJECTS)) {
  if (wanted !== undefined && name !== wanted) continue;
  const began = performance.now();
  const driver = new HostileDriver(make, TRANSPORTS[transport], seed);
  try {
    // After a tenth everything that is compiled or cached once has been.
    driver.run(Math.ceil(steps / 10));
    const settled = Deno.memoryUsage().rss;
    driver.run(Math.floor(steps * 0.9));
    const { checks, twins } = driver.counts;
    const { taken, given, malformed, unanswerable, badRings } = driver.watch.counts;
    console.log(
      `${name} by ${transport}: ${steps} steps in ${
        ((performance.now() - began) / 1000).toFixed(0)
      } s, seed ${seed}; ` +
        `${taken} buffers taken, ${given} given back; reset needed for ${malformed} malformed rings, ` +
        `${badRings} outside of memory, ${unanswerable} requests without an answer; ` +
        `${checks} times it worked after a reset, ${twins} twins; ` +
        `resident +${((Deno.memoryUsage().rss - settled) / MIB).toFixed(1)} MiB`,
    );
  } catch (error) {
    console.log(`${name}, seed ${seed}:`, error);
    failed = true;
  }
}
Deno.exit(failed ? 1 : 0);
