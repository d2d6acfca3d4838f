/** hv: runs operating systems in virtual PCs. The program; the library is hv/mod.ts. */

import { main } from "./hv/cli/main.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));
