/** A guest's vsock, as a user says it, checked. */

import { UsageError } from "../errors.ts";
import { checkNames, type OptionNames } from "./option_names.ts";

/** Connections between programs of the host and of the guest, by Unix sockets of the host. */
export interface VsockOptions {
  /**
   * The socket at which programs of the host say `CONNECT port`, to be connected to the guest; the
   * guest's connections to the host's port P go to the socket `PATH_P`.
   */
  readonly path: string;
  /** The guest's address, 3 to 4294967294. Default 3. */
  readonly cid?: number;
}

/** See above, with everything decided. */
export type ResolvedVsock = Required<VsockOptions>;

const FIRST_CID = 3;
const LAST_CID = 0xffff_fffe;

const NAMES: OptionNames<Required<VsockOptions>> = { path: true, cid: true };

/** @throws {UsageError} When it cannot be; the host is looked at later. */
export function resolveVsock(
  vsock: string | VsockOptions | undefined,
): ResolvedVsock | undefined {
  if (vsock === undefined) return undefined;
  if (typeof vsock !== "string") checkNames("A vsock", vsock, NAMES);
  const { path, cid = FIRST_CID } = typeof vsock === "string" ? { path: vsock } : vsock;
  if (path === "") throw new UsageError("Cannot make a vsock: the name of its socket is empty");
  if (!Number.isInteger(cid) || cid < FIRST_CID || cid > LAST_CID) {
    throw new UsageError(
      `Cannot give the guest the vsock address ${cid}: ${FIRST_CID} to ${LAST_CID} is possible`,
    );
  }
  return { path, cid };
}
