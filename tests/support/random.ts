/** Repeatable random numbers for tests, with the seed that failed in the message. */

/** xorshift32: the same seed gives the same numbers. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed >>> 0) || 1;
  }

  /** An unsigned 32-bit number. */
  u32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return this.#state = x >>> 0;
  }

  /** An integer from 0 up to, without, `limit`. */
  below(limit: number): number {
    return Math.floor((this.u32() / 2 ** 32) * limit);
  }

  /** One of `items`. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/** The seed of this run: `HV_SEED`, else 1, so that what CI runs today it ran yesterday. */
export const seed = (): number => Number(Deno.env.get("HV_SEED") ?? 1);

/** Runs `body` with a generator; what it throws tells the seed. */
export function seeded(body: (random: Random) => void): void {
  try {
    body(new Random(seed()));
  } catch (cause) {
    throw new Error(`with HV_SEED=${seed()}: ${(cause as Error).message}`, { cause });
  }
}
