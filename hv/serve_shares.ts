/** Shared directories on the I/O worker's thread: loaded only where there are any. */

import { NinePServer } from "../devices/9p/server.ts";
import { HostTree } from "../devices/share/host_tree.ts";
import type { ShareHandle } from "../devices/share/open_share.ts";
import type { Pc } from "./pc.ts";

/** Gives the board's shares their servers; disposed of, all that guests have opened is closed. */
export function serveShares(handles: readonly ShareHandle[], pc: Pc): Disposable {
  const served = new DisposableStack();
  for (const [i, share] of (pc.virtio?.shares ?? []).entries()) {
    const tree = served.use(new HostTree(handles[i]));
    const server = new NinePServer(tree);
    served.defer(() => server.reset());
    share.server = server;
  }
  return served;
}
