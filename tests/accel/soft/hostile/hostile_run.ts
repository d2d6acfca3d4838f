/**
 * Random instruction streams for as long as one likes (hostile_streams.ts says of what kind): the host
 * must not throw, hang or grow.
 *
 *     deno run -A tests/accel/soft/hostile/hostile_run.ts [streams a mode] [seed] [mode] [level]
 */

import { Random } from "../../../support/random.ts";
import { HOSTILE_MODES, HostileStreams, startKicking } from "./hostile_streams.ts";

const KICK_MS = 0.3;
const MIB = 2 ** 20;
const streams = Number(Deno.args[0] ?? 100_000);
const seed = Number(Deno.args[1] ?? Date.now() % 1_000_000);
const wanted = Deno.args.slice(2);
const NAMES = ["port", "mmio", "halt", "shutdown", "interrupted", "failed"];

let failed = false;
for (const [mode, cpl] of HOSTILE_MODES) {
  if (wanted.length > 0 && mode !== wanted[0]) continue;
  if (wanted.length > 1 && cpl !== Number(wanted[1])) continue;
  const hostile = new HostileStreams(mode, cpl);
  using _kicks = await startKicking(hostile.machine, KICK_MS);
  const began = performance.now();
  // After a tenth everything that is compiled or cached once has been.
  let settled = 0;
  let longest = { ms: 0, seed: 0 };
  for (let i = 0; i < streams; i++) {
    if (i === Math.floor(streams / 10)) settled = Deno.memoryUsage().rss;
    // Each stream has its own seed, by which it can be run again alone.
    const own = seed + i * 10;
    try {
      hostile.run(new Random(own));
      if (hostile.longestMs > longest.ms) longest = { ms: hostile.longestMs, seed: own };
    } catch (error) {
      console.log(`${mode} at level ${cpl}, seed ${own}:`, error);
      failed = true;
      break;
    }
  }
  const seconds = (performance.now() - began) / 1000;
  const grown = (Deno.memoryUsage().rss - settled) / MIB;
  const exits = NAMES.map((name, i) => `${name} ${hostile.exits[i]}`).join(", ");
  console.log(
    `${mode} at level ${cpl}: ${streams} streams in ${seconds.toFixed(0)} s; ${exits}; ` +
      `longest run ${longest.ms.toFixed(1)} ms (seed ${longest.seed}); resident +${
        grown.toFixed(1)
      } MiB`,
  );
  for (const failure of hostile.failures) console.log("  ", failure);
  failed ||= hostile.failures.size > 0;
}
console.log(`seed ${seed}`);
Deno.exit(failed ? 1 : 0);
