/**
 * A speed that is measured on a host which has other things to do: several short runs, of which the best
 * says what the host can do, and median and range what there is to be had at the moment.
 */

/** Instructions a second over several runs. */
export interface Speed {
  /** Of the run that was disturbed least. */
  readonly best: number;
  readonly median: number;
  readonly worst: number;
}

/** How to measure. */
export interface SpeedOptions {
  /** Runs that count. */
  readonly runs: number;
  /** How long all of them may take, ms; three are made in any case. */
  readonly budgetMs: number;
}

/** A run of so many rounds is not counted when it is shorter, µs: what is around it would be measured. */
const SHORTEST_US = 300;
const FIRST_ROUNDS = 500;
const MOST_ROUNDS = 500_000;
const GROWTH = 10;
/** Instructions in a round of counting_loop.ts. */
const ROUND_INSTRUCTIONS = 2;
const LEAST_RUNS = 3;
/** Figures that differ by no more are one. */
const STEADY = 1.25;

/**
 * Measures. The runs become longer until one takes long enough to count: a run that was disturbed may
 * seem to, but none of the next does then.
 *
 * @param measure Instructions a second of a run of so many rounds.
 * @throws what `measure` throws
 */
export function measureSpeed(
  measure: (rounds: number) => number,
  { runs, budgetMs }: SpeedOptions,
): Speed {
  let rounds = FIRST_ROUNDS;
  let speeds: number[] = [];
  let spentUs = 0;
  while (speeds.length < runs && (spentUs < budgetMs * 1000 || speeds.length < LEAST_RUNS)) {
    const speed = measure(rounds);
    const us = rounds * ROUND_INSTRUCTIONS * 1e6 / speed;
    spentUs += us;
    if (us < SHORTEST_US && rounds < MOST_ROUNDS) {
      rounds *= GROWTH;
      speeds = [];
    } else speeds.push(speed);
  }
  speeds.sort((a, b) => a - b);
  const middle = speeds.length >> 1;
  const median = speeds.length % 2 === 1
    ? speeds[middle]
    : (speeds[middle - 1] + speeds[middle]) / 2;
  return { best: speeds[speeds.length - 1], median, worst: speeds[0] };
}

/** Millions of instructions a second: `1.2`, or with the range where the runs differ: `1.2 (0.3 to 1.4)`. */
export function showSpeed({ best, median, worst }: Speed): string {
  const range = best > worst * STEADY ? ` (${millions(worst)} to ${millions(best)})` : "";
  return `${millions(median)}${range}`;
}

function millions(perSecond: number): string {
  const value = perSecond / 1e6;
  return value >= 0.1 ? value.toFixed(value >= 10 ? 0 : 1) : String(Number(value.toPrecision(1)));
}
