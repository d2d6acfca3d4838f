/** TAP interfaces of a test's own: other tests have theirs at the same time. */

import { closeDescriptor } from "../../../hv/sys/descriptor.ts";
import { SysError } from "../../../hv/sys/errors.ts";
import { openTap } from "../../../hv/sys/net/tap.ts";

/** The interface of this process: its name, and two addresses in a network of its own (RFC 2544). */
export const TAP = {
  name: `hvt${Deno.pid}`,
  /** @param host 1 or 2. */
  address: (host: number): Uint8Array => {
    const network = (Deno.pid & 0x7fff) << 2;
    return Uint8Array.of(198, 18 | network >> 16, network >> 8, network | host);
  },
};

/** Why TAP interfaces cannot be tried here, or "". */
export const noTap: string = (() => {
  try {
    closeDescriptor(openTap(TAP.name));
    return "";
  } catch (error) {
    if (error instanceof SysError) return error.message;
    throw error;
  }
})();
