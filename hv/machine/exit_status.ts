/** How a machine came to its end, as the library tells it. */

import { EndKind } from "../core/control.ts";

/** How a machine came to its end. */
export interface ExitStatus {
  /** What ended it. */
  readonly reason:
    | "power-off"
    | "debug-exit"
    | "triple-fault"
    | "failed"
    | "reset"
    | "disposed";
  /** isa-debug-exit's code; 0 otherwise. */
  readonly code: number;
  /** One line, or several for a failure, that says it to a person. */
  readonly message: string;
}

/** What the threads' record of a guest's end (hv/core/control.ts) means. */
export function exitStatus(
  { kind, code, failure }: { kind: EndKind; code: number; failure: string },
): ExitStatus {
  switch (kind) {
    case EndKind.powerOff:
      return { reason: "power-off", code: 0, message: "the guest powered off" };
    case EndKind.debugExit:
      return {
        reason: "debug-exit",
        code,
        message: `the guest ended by isa-debug-exit with ${code}`,
      };
    case EndKind.tripleFault:
      return {
        reason: "triple-fault",
        code: 0,
        message: `the guest ended by a triple fault\n${failure}`.trimEnd(),
      };
    default:
      return { reason: "failed", code: 0, message: failure };
  }
}
