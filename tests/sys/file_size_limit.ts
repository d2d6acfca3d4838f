/** Started with a limit of file sizes, by sys_test.ts: what a write beyond it comes to. */

import { FileHandle } from "../../hv/sys/file/file.ts";
import { ignoreFileSizeSignal } from "../../hv/sys/thread.ts";

ignoreFileSizeSignal();
using file = FileHandle.open(Deno.args[0], { write: true, create: true });
try {
  file.write(new Uint8Array(512), 2 ** 32);
  console.log("written");
} catch (error) {
  console.log((error as Error).message);
}
