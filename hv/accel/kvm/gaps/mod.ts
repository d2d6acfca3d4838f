/**
 * Instructions that KVM cannot emulate are executed on the software CPU, one at a time, over the same
 * guest memory; then the processor goes on on KVM. That is where KVM runs kernel-mode code in its
 * instruction emulator, and, on any host, where a device is accessed with an instruction that the
 * emulator lacks.
 *
 * The software CPU is loaded when KVM fails for the first time: a processor that needs it and has not
 * got it yet ends its run with `Exit.needsCode`, and whoever runs it awaits `loadGapFiller`.
 */

import type { GapFiller, GapFillerHost } from "./filler.ts";

let code: { readonly GapFiller: typeof GapFiller } | undefined;

/** Loads the software CPU for the calling thread. */
export async function loadGapFiller(): Promise<void> {
  code ??= await import("./filler.ts");
}

/** Fills gaps for a processor; undefined before `loadGapFiller`. */
export function openGapFiller(host: GapFillerHost): GapFiller | undefined {
  return code === undefined ? undefined : new code.GapFiller(host);
}
