/** Makes a processor's thread; beside its module, where a bundled program has it, too (hv/release/bundle.ts). */

const make = (): Worker =>
  new Worker(new URL("./vcpu_worker.ts", import.meta.url), { type: "module" });

let early: Worker | undefined;

/**
 * Begins a thread before there is a machine, for a program that is about to make one: its modules load
 * while those of the program do.
 */
export function beginVcpuThread(): void {
  early ??= make();
}

/** A new one, which loads its modules and waits for the machine it belongs to. */
export function newVcpuThread(): Worker {
  const thread = early ?? make();
  early = undefined;
  return thread;
}
