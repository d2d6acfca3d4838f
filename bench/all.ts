/**
 * Runs every bench, one after the other. Their figures, with what they mean, are in bench/README.md.
 *
 * `ROUNDS=3 deno task bench` is quicker and less exact.
 */

import { exitCost } from "./exit_cost.ts";
import { linuxBoot } from "./linux_boot.ts";
import { memory } from "./memory.ts";
import { share } from "./share.ts";
import { network } from "./network.ts";
import { softCpu } from "./soft_cpu.ts";
import { startUp } from "./start_up.ts";
import { virtio } from "./virtio.ts";

await startUp();
await memory();
await exitCost();
await softCpu();
await linuxBoot();
await virtio();
await share();
await network();
