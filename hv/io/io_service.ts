/** A part of what the I/O worker does. */
export interface IoService {
  /**
   * Does what there is to do, for a bounded time, and says when it wants its next turn at the latest, in
   * ns from now: 0 at once, Infinity when it is rung for or a descriptor is ready.
   */
  serve(): number;
  /** The machine is about to stand still: brings to its end what is under way. */
  rest?(): void;
}

/** Gives each of them a turn, in their order; when there is to be another, as they say it. */
export function serveAll(services: readonly IoService[]): number {
  let next = Infinity;
  for (const service of services) next = Math.min(next, service.serve());
  return next;
}
