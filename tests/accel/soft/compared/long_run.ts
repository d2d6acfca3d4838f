/**
 * Compares the software CPU with the real processor for as long as one likes:
 *
 *     deno run -A tests/accel/soft/compared/long_run.ts [cases] [seed] [name,name...] [--compatibility]
 */

import { Random } from "../../../support/random.ts";
import { Comparison } from "./comparison.ts";

const [first, second, third] = Deno.args.filter((arg) => !arg.startsWith("--"));
const cases = Number(first ?? 1_000_000);
const seed = Number(second ?? Date.now() % 1_000_000);
const names = third === undefined ? undefined : new Set(third.split(","));
const random = new Random(seed);
const comparison = new Comparison(Deno.args.includes("--compatibility"));
const SHOWN = 20;
const byName = new Map<string, number>();
comparison.fill(random);
let differing = 0;
for (let i = 0; i < cases; i++) {
  const difference = comparison.step(random, names);
  if (difference !== undefined) {
    differing++;
    const name = difference.startsWith("x87") ? difference.slice(0, 13) : difference.split(" ")[0];
    const count = (byName.get(name) ?? 0) + 1;
    byName.set(name, count);
    if (count <= 2 && byName.size <= SHOWN) console.log(difference);
  }
  if (i % 1000 === 999) comparison.fill(random);
}
console.log(`seed ${seed}: ${cases} cases, ${differing} differ`);
if (byName.size > 0) console.log([...byName].map(([name, n]) => `${name}: ${n}`).join(", "));
Deno.exit(differing === 0 ? 0 : 1);
