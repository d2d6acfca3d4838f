/**
 * Compares 80-bit arithmetic with the real FPU for as long as is wanted:
 * `deno run -A tests/accel/soft/float/float80/long_run.ts [cases an operation] [seed] [name...]`
 */

import { compareBatch, type Outcome } from "./compare.ts";
import { BATCH, createDriver } from "./driver.ts";
import { Random } from "./operands.ts";
import { OPERATIONS } from "./operations.ts";
import { Oracle, X87_ORACLE } from "./oracle.ts";

const [cases = "1000000", seed = String(Date.now() >>> 0), ...names] = Deno.args;
const started = await Oracle.start(X87_ORACLE);
if (typeof started === "string") {
  console.error(`Cannot compare with the processor: ${started}`);
  Deno.exit(1);
}
using oracle = started;
const driver = createDriver();
const random = new Random(Number(seed));
console.log(`seed ${seed}`);
let total = 0;
let failures = 0;
for (const operation of OPERATIONS) {
  if (names.length > 0 && !names.includes(operation.name)) continue;
  const outcome: Outcome = { cases: 0, failures: 0, near: 0, examples: [] };
  while (outcome.cases < Number(cases)) {
    await compareBatch(driver, oracle, operation, random, outcome);
  }
  const near = operation.transcendental ? `, ${outcome.near} by a unit of the last place` : "";
  console.log(
    `${operation.name.padEnd(10)} ${outcome.cases} cases, ${outcome.failures} differ${near}`,
  );
  for (const example of outcome.examples) console.log(example);
  total += outcome.cases;
  failures += outcome.failures;
}
console.log(`${total} cases in batches of ${BATCH}: ${failures} differ`);
Deno.exit(failures > 0 ? 1 : 0);
