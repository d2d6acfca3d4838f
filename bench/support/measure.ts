/** Timing of whole programs, in turn, so that a machine that slows down does so for all of them. */

import { EXIT_STATUS } from "./payload.ts";

/** A command and the status with which it ends when all is well. */
export interface Measured {
  readonly name: string;
  readonly command: readonly string[];
  readonly status?: number;
}

/** What one run took, ms. */
export interface Times {
  readonly wallMs: number;
  /** Processor time of all of its threads, user and system. */
  readonly cpuMs: number;
}

/** Linux counts in hundredths of a second here, on every architecture. */
const TICK_MS = 10;

/** Processor time of all processes that have been waited for, ms. */
function childrenCpuMs(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").replace(/^.*\) /, "").split(" ");
  // proc(5): cutime and cstime are fields 16 and 17, of which the first two are cut off.
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}

/** One run of a command. */
export async function timeOnce({ name, command, status = EXIT_STATUS }: Measured): Promise<Times> {
  const [program, ...args] = command;
  const process = new Deno.Command(program, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
  const startCpuMs = childrenCpuMs();
  const start = performance.now();
  const { code, stderr } = await process.output();
  const wallMs = performance.now() - start;
  if (code !== status) {
    const text = new TextDecoder().decode(stderr).trim();
    throw new Error(`Cannot measure ${name}: it ended with ${code} instead of ${status}: ${text}`);
  }
  return { wallMs, cpuMs: childrenCpuMs() - startCpuMs };
}

/** `rounds` runs of each, one after the other in each round, after one that is not counted. */
export async function timeInTurn(
  measured: readonly Measured[],
  rounds: number,
): Promise<Times[][]> {
  const times: Times[][] = measured.map(() => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, item] of measured.entries()) {
      const time = await timeOnce(item);
      if (round >= 0) times[i].push(time);
    }
  }
  return times;
}

/** The middle one, or between the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median of the ratios round by round, which a machine whose speed drifts disturbs least. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, i) => value / b[i]));
}
