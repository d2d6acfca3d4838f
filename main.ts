/** hv: runs operating systems in virtual PCs. The program; the library is hv/mod.ts. */

import { beginVcpuThread } from "./hv/threads/vcpu_thread.ts";

if (import.meta.main) {
  const [command, ...rest] = Deno.args;
  // Its modules load while those of the program do.
  if (["run", "boot"].includes(command) && !rest.includes("--help")) beginVcpuThread();
  const { main } = await import("./hv/cli/main.ts");
  Deno.exit(await main(Deno.args));
}
