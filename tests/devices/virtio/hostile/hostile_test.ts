/** Hostile drivers of every virtio device; hostile_run.ts goes on for as long as one likes. */

import assert from "node:assert/strict";
import { seed } from "../../../support/random.ts";
import { TRANSPORTS } from "./transports/attach_transport.ts";
import { HostileDriver } from "./hostile_driver.ts";
import { SUBJECTS } from "./subjects/subjects.ts";
import { inFull } from "../../../support/quick.ts";

const STEPS = inFull(10_000, 3000);

/** Every device on the PCI bus, and one in memory. */
const RUNS = [
  ...Object.keys(SUBJECTS).map((name) => [name, "pci"] as const),
  ["blk", "mmio"] as const,
];

for (const [name, transport] of RUNS) {
  Deno.test(`${name} by ${transport}: ${STEPS} steps of a hostile driver do no harm, and a reset mends all (2.1.2)`, () => {
    const driver = new HostileDriver(SUBJECTS[name], TRANSPORTS[transport], seed());
    try {
      driver.run(STEPS);
    } catch (cause) {
      throw new Error(`with HV_SEED=${seed()}, ${(cause as Error).message}`, { cause });
    }
    const { taken, given, malformed, badRings } = driver.watch.counts;
    const { checks, twins } = driver.counts;
    // It has come through to where it could do harm.
    for (const [what, count] of Object.entries({ taken, given, malformed })) {
      assert.ok(count > STEPS / 400, `${what}: ${count}`);
    }
    assert.ok(badRings > 10 && checks > 10, `${badRings} rings, ${checks} times it worked`);
    assert.ok(twins > 10 || driver.rig.subject.hostKeepsState, `${twins} twins`);
  });
}
