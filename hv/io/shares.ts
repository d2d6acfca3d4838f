/** The shared directories of a machine, opened on main, served by the I/O worker. */

import { closeShare, openShare, type ShareHandle } from "../../devices/share/open_share.ts";
import type { ResolvedShare } from "../options/share_options.ts";

/** See above. */
export class Shares implements Disposable {
  /** In the board's order. */
  readonly handles: readonly ShareHandle[];

  /** @throws {ShareError} When a directory cannot be shared; those opened before are closed. */
  constructor(shares: readonly ResolvedShare[]) {
    const handles: ShareHandle[] = [];
    try {
      for (const share of shares) handles.push(openShare(share));
    } catch (error) {
      handles.forEach(closeShare);
      throw error;
    }
    this.handles = handles;
  }

  [Symbol.dispose](): void {
    this.handles.forEach(closeShare);
  }
}
