/** Hostile drivers of every virtio device; hostile_run.ts goes on for as long as one likes. */

import assert from "node:assert/strict";
import { seed } from "../../../support/random.ts";
import { HostileDriver } from "./hostile_driver.ts";
import { SUBJECTS } from "./subjects.ts";

const STEPS = 20_000;

for (const [name, make] of Object.entries(SUBJECTS)) {
  Deno.test(`${name}: ${STEPS} steps of a hostile driver do no harm, and a reset mends all (2.1.2)`, () => {
    const driver = new HostileDriver(make, seed());
    try {
      driver.run(STEPS);
    } catch (cause) {
      throw new Error(`with HV_SEED=${seed()}, ${(cause as Error).message}`, { cause });
    }
    const { taken, given, malformed, badRings } = driver.watch.counts;
    const { checks, twins } = driver.counts;
    // It has come through to where it could do harm.
    for (const [what, count] of Object.entries({ taken, given, malformed })) {
      assert.ok(count > STEPS / 100, `${what}: ${count}`);
    }
    assert.ok(badRings > 10 && checks > 10 && twins > 10, `${badRings}, ${checks}, ${twins}`);
  });
}
