/** Instructions that the software CPU has executed in KVM's place, in words. */

import type { FilledInstructions } from "../accel/accelerator.ts";

/** Kinds that are named. */
const NAMED = 6;

/** E.g. `12 instructions that KVM lacks (8 popcnt, 4 fwait) were executed on the software CPU, in 0.3 ms`. */
export function describeFilled({ count, byName, spentNs }: FilledInstructions): string {
  const named = [...byName].slice(0, NAMED).map(([name, times]) => `${times} ${name}`);
  const more = byName.size > NAMED ? ", …" : "";
  const [what, were] = count === 1 ? ["instruction", "was"] : ["instructions", "were"];
  const time = spentNs < 1e9
    ? `${(spentNs / 1e6).toFixed(1)} ms`
    : `${(spentNs / 1e9).toFixed(1)} s`;
  return `${count} ${what} that KVM lacks (${named.join(", ")}${more}) ${were} executed on the ` +
    `software CPU, in ${time}`;
}
