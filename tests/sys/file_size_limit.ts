/** Started with a limit of file sizes, by sys_test.ts: what a write beyond it comes to. */

import { FileHandle, ignoreFileSizeSignal } from "../../hv/sys/mod.ts";

ignoreFileSizeSignal();
using file = FileHandle.open(Deno.args[0], { write: true, create: true });
try {
  file.write(new Uint8Array(512), 2 ** 32);
  console.log("written");
} catch (error) {
  console.log((error as Error).message);
}
