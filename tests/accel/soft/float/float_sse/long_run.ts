/**
 * Compares the slow paths of SSE with the real processor for as long as is wanted:
 * `deno run -A tests/accel/soft/float/float_sse/long_run.ts [cases an operation] [seed] [name...]`
 */

import { Random } from "../float80/operands.ts";
import { Oracle } from "../float80/oracle.ts";
import { compareBatch, type Outcome, SSE_ORACLE } from "./compare.ts";
import { createDriver } from "./driver.ts";
import { OPERATIONS } from "./operations.ts";

const [cases = "1000000", seed = String(Date.now() >>> 0), ...names] = Deno.args;
const started = await Oracle.start(SSE_ORACLE);
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
  const outcome: Outcome = { cases: 0, failures: 0, examples: [] };
  while (outcome.cases < Number(cases)) {
    await compareBatch(driver, oracle, operation, random, outcome);
  }
  console.log(`${operation.name.padEnd(12)} ${outcome.cases} cases, ${outcome.failures} differ`);
  for (const example of outcome.examples) console.log(example);
  total += outcome.cases;
  failures += outcome.failures;
}
console.log(`${total} cases: ${failures} differ`);
Deno.exit(failures > 0 ? 1 : 0);
