/** Exceptions that are found outside of generated code. */

import type { SoftState } from "../state/state.ts";

/** Vectors (Intel SDM volume 3, table 6-1). */
export const Vector = {
  divideError: 0,
  debug: 1,
  nmi: 2,
  breakpoint: 3,
  overflow: 4,
  bound: 5,
  undefinedOpcode: 6,
  deviceNotAvailable: 7,
  doubleFault: 8,
  invalidTss: 10,
  segmentNotPresent: 11,
  stackFault: 12,
  generalProtection: 13,
  pageFault: 14,
  floatingPoint: 16,
  alignmentCheck: 17,
  simd: 19,
} as const;

/** What ends a service or a translation when the guest is to get an exception: the state says which. */
export class GuestFault {}
const THE_FAULT = new GuestFault();

/** What ends a service whose device access awaits its device. */
export class GuestAccess {}
const THE_ACCESS = new GuestAccess();

/** What ends a service whose instruction is to begin again alone: see breakpoints.ts. */
export class GuestAlone {}
const ALONE = new GuestAlone();

/** Notes an exception of the current instruction and leaves. */
export function fault(state: SoftState, vector: number, errorCode?: number): never {
  state.exceptionVector = vector;
  state.exceptionHasError = errorCode !== undefined;
  state.exceptionError = errorCode ?? 0;
  throw THE_FAULT;
}

/** Leaves for the instruction to run alone. */
export function runAlone(): never {
  throw ALONE;
}

/** Leaves for a device. */
export function awaitDevice(): never {
  throw THE_ACCESS;
}
