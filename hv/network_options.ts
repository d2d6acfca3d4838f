/** A machine's networks as a user says them, checked and filled in. */

import { UsageError } from "./errors.ts";
import { MAX_NETWORKS, type NetworkModel } from "./pc/board_config.ts";

/** A network card and what it is connected to. */
export interface NetworkOptions {
  /**
   * The other end: a TAP interface of the host by its name, or a Unix socket by its path, which carries
   * frames with their length in front (QEMU's `-netdev stream`, passt).
   */
  readonly end: { readonly tap: string } | {
    readonly socket: string;
    /** Wait there for the other end rather than connect to it. */
    readonly listen?: boolean;
  };
  /** The card. Default `"e1000"`. */
  readonly model?: NetworkModel;
  /** Its Ethernet address, e.g. `"52:54:00:12:34:56"`. Default: a random one. */
  readonly mac?: string;
  /** Write all frames to this file, which Wireshark and tcpdump read. */
  readonly pcap?: string;
}

/** `NetworkOptions` with everything decided that does not need the host. */
export interface ResolvedNetwork {
  readonly end: NetworkOptions["end"];
  readonly model: NetworkModel;
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly pcap: string | undefined;
}

/** Every model, for messages and the command line. */
export const NETWORK_MODELS: readonly NetworkModel[] = ["e1000"];

/** @throws {UsageError} When something cannot be. */
export function resolveNetworks(
  options: NetworkOptions | readonly NetworkOptions[] | undefined,
): ResolvedNetwork[] {
  const list = options === undefined ? [] : Array.isArray(options) ? options : [options];
  if (list.length > MAX_NETWORKS) {
    throw new UsageError(
      `Cannot attach ${list.length} network cards: the board has room for ${MAX_NETWORKS}`,
    );
  }
  const networks = list.map(resolveNetwork);
  const macs = networks.map(({ mac }) => mac.join(":"));
  if (new Set(macs).size < macs.length) {
    throw new UsageError("Cannot attach two network cards with the same address: leave mac out");
  }
  return networks;
}

/** @throws {UsageError} When something cannot be. */
export function resolveNetwork(
  { end, model = "e1000", mac, pcap }: NetworkOptions,
): ResolvedNetwork {
  if (!NETWORK_MODELS.includes(model)) {
    throw new UsageError(
      `Cannot use the network card "${model}": ${NETWORK_MODELS.join(" or ")} is possible`,
    );
  }
  return { end, model, mac: mac === undefined ? randomMac() : parseMac(mac), pcap };
}

/** @throws {UsageError} */
function parseMac(text: string): Uint8Array {
  const bytes = text.split(/[:-]/).map((part) =>
    /^[0-9a-f]{2}$/i.test(part) ? parseInt(part, 16) : -1
  );
  if (bytes.length !== 6 || bytes.includes(-1)) {
    throw new UsageError(
      `Cannot use the network address "${text}": six bytes are needed, e.g. 52:54:00:12:34:56`,
    );
  }
  if ((bytes[0] & 1) !== 0 || bytes.every((byte) => byte === 0)) {
    throw new UsageError(
      `Cannot use the network address "${text}": its first byte must be even, and not all zero`,
    );
  }
  return Uint8Array.from(bytes);
}

/** Locally administered, under the prefix that virtual machines use: two in one network differ. */
function randomMac(): Uint8Array {
  const mac = crypto.getRandomValues(new Uint8Array(6));
  mac.set([0x52, 0x54, 0x00]);
  return mac;
}
