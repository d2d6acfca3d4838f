/** What can go wrong outside of the guest, as errors that carry one clear line. */

/** The user asked for something that cannot be: which option, what was wrong, what would do. */
export class UsageError extends Error {
  /** For whoever cannot use `instanceof`. */
  override readonly name = "UsageError";
}

/** The host refused something that a machine needs: what, why, what to do. */
export class HostError extends Error {
  /** For whoever cannot use `instanceof`. */
  override readonly name = "HostError";
}

/**
 * A wait came to its end without what was waited for. The message has the reason, the last console
 * lines, the screen and the registers, as far as there are any.
 */
export class WaitError extends Error {
  /** For whoever cannot use `instanceof`. */
  override readonly name = "WaitError";
  /** Why: the time was up, the caller aborted, or the guest came to an end. */
  readonly reason: "timeout" | "aborted" | "ended";

  /** Thrown by waits. */
  constructor(reason: WaitError["reason"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
