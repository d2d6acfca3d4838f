/** Makes a processor's thread; beside its module, where a bundled program has it, too (hv/compile.ts). */

/** A new one, which loads its modules and waits for the machine it belongs to. */
export const newVcpuThread = (): Worker =>
  new Worker(new URL("./vcpu_worker.ts", import.meta.url), { type: "module" });
