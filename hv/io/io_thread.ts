/** Makes an I/O thread; beside its module, where a bundled program has it, too (hv/release/bundle.ts). */

/** A new one, which loads its modules and waits for what it is to serve. */
export const newIoThread = (): Worker =>
  new Worker(new URL("./io_worker.ts", import.meta.url), { type: "module" });
