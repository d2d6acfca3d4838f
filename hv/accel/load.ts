/**
 * The software CPU's code, which is loaded only where it is used: its modules would cost every start
 * on KVM a tenth of its time.
 */

import type { SoftVm } from "./soft/vm.ts";
import type { createSoftVm } from "./soft/create.ts";

/** What opens and makes machines on the software CPU. */
export interface SoftCode {
  readonly SoftVm: typeof SoftVm;
  readonly createSoftVm: typeof createSoftVm;
}

let soft: SoftCode | undefined;

/** Loads what `openVm` and `createVm` need for an accelerator; once a thread. */
export async function loadAccelerator(accelerator: "kvm" | "soft"): Promise<void> {
  if (accelerator === "kvm" || soft !== undefined) return;
  const [{ SoftVm }, { createSoftVm }] = await Promise.all([
    import("./soft/vm.ts"),
    import("./soft/create.ts"),
  ]);
  soft = { SoftVm, createSoftVm };
}

/** The software CPU's code. @throws {Error} Before `loadAccelerator`: a mistake of the caller. */
export function softCode(): SoftCode {
  if (soft === undefined) throw new Error("Cannot use the software CPU before it is loaded");
  return soft;
}
