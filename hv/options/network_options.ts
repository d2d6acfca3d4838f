/** A machine's networks as a user says them, checked and filled in. */

import { parseAddress } from "../core/net/ip_address.ts";
import { UsageError } from "../errors.ts";
import { checkNames, type OptionNames } from "./option_names.ts";
import {
  type IsaPlace,
  MAX_NETWORKS,
  type NetworkCardConfig,
  type NetworkModel,
} from "../pc/board_config.ts";

/** A network card and what it is connected to. */
export interface NetworkOptions {
  /**
   * The other end: `"user"`, a network of its own that reaches what the host's programs reach; a TAP
   * interface of the host by its name; or a Unix socket by its path, which carries frames with their
   * length in front (QEMU's `-netdev stream`, passt).
   */
  readonly end: "user" | { readonly user: UserNetworkOptions } | { readonly tap: string } | {
    readonly socket: string;
    /** Wait there for the other end rather than connect to it. */
    readonly listen?: boolean;
  };
  /**
   * The card. Default: `"virtio"` for a kernel that is started directly and when a running machine gets
   * it, for who does that has its driver; else `"e1000"`, of which nearly every system has one. The
   * NE2000, `"ne2k_isa"` and (as RTL8029) `"ne2k_pci"`, is for systems that are older.
   */
  readonly model?: NetworkModel;
  /** First port of an `"ne2k_isa"`: 240h to 2C0h, 300h to 340h, in steps of 20h. Default 300h. */
  readonly iobase?: number;
  /** Interrupt line of an `"ne2k_isa"`: 3, 4, 5, 7, 9, 10, 11, 12 or 15. Default 5. */
  readonly irq?: number;
  /**
   * Its Ethernet address, e.g. `"52:54:00:12:34:56"`. Default: a random one; on a user network, which
   * nobody else is in, the same every time.
   */
  readonly mac?: string;
  /** Bytes a second that the guest may send, and as many that it may receive. Default: no limit. */
  readonly bps?: number;
  /** Write all frames to this file, which Wireshark and tcpdump read. */
  readonly pcap?: string;
}

/**
 * A network that needs no privileges: the guest is 10.0.2.15 (DHCP), the gateway 10.0.2.2 is the host's
 * loopback, the name server 10.0.2.3 the host's; IPv6 likewise in fd68:7600::/64.
 */
export interface UserNetworkOptions {
  /**
   * Ports of the host that lead to ports of the guest: `tcp:2222:22`, `udp:127.0.0.1:5353:53`. Without an
   * address the host's loopback; port 0: a free one, which `Machine.forwards` tells.
   */
  readonly forwards?: readonly string[];
  /** The guest reaches neither the host nor anything beyond; forwards stay. Default false. */
  readonly restrict?: boolean;
  /** Who is the network: hv itself, or the program passt where it is installed. Default `"builtin"`. */
  readonly via?: "builtin" | "passt";
}

/** A port of the host that leads to one of the guest. */
export interface PortForward {
  /** Connections or datagrams. */
  readonly protocol: "tcp" | "udp";
  /** Of the host, 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Of the host, 1 to 65535. */
  readonly hostPort: number;
  /** Of the guest, 1 to 65535. */
  readonly guestPort: number;
}

/** `NetworkOptions` with everything decided that does not need the host. */
export interface ResolvedNetwork extends NetworkCardConfig {
  readonly end: ResolvedEnd;
  readonly pcap: string | undefined;
}

/** The other end, checked. */
export type ResolvedEnd =
  | {
    readonly kind: "user";
    readonly forwards: readonly PortForward[];
    readonly restrict: boolean;
    readonly via: "builtin" | "passt";
  }
  | { readonly kind: "tap"; readonly name: string }
  | { readonly kind: "socket"; readonly path: string; readonly listens: boolean };

/** What the user calls it. */
export function networkName(end: ResolvedEnd): string {
  return end.kind === "user" ? "user" : end.kind === "tap" ? end.name : end.path;
}

/** The card as the board knows it. */
export const cardOf = (
  { model, mac, isa, mtu, bytesPerSecond }: ResolvedNetwork,
): NetworkCardConfig => ({ model, mac, isa, mtu, bytesPerSecond });

/** What passt takes (passt(1), --mtu), which has no offloads: long packets are as good. */
const PASST_MTU = 65_520;

/** Every model, for messages and the command line. */
export const NETWORK_MODELS: readonly NetworkModel[] = ["e1000", "ne2k_isa", "ne2k_pci", "virtio"];

/** Jumpers of an NE2000 where nothing else of the board is. */
const ISA_PORTS = [0x240, 0x260, 0x280, 0x2a0, 0x2c0, 0x300, 0x320, 0x340];
const ISA_IRQS = [3, 4, 5, 7, 9, 10, 11, 12, 15];
const ISA_DEFAULT: IsaPlace = { port: 0x300, irq: 5 };

/** @throws {UsageError} When something cannot be. */
export function resolveNetworks(
  options: NetworkOptions | readonly NetworkOptions[] | undefined,
  defaultModel: NetworkModel,
): ResolvedNetwork[] {
  const list = options === undefined ? [] : Array.isArray(options) ? options : [options];
  if (list.length > MAX_NETWORKS) {
    throw new UsageError(
      `Cannot attach ${list.length} network cards: the board has room for ${MAX_NETWORKS}`,
    );
  }
  const networks = list.map((network: NetworkOptions, i) =>
    resolveNetwork(network, i, defaultModel)
  );
  const macs = networks.map(({ mac }) => mac.join(":"));
  if (new Set(macs).size < macs.length) {
    throw new UsageError("Cannot attach two network cards with the same address: leave mac out");
  }
  const ports = networks.flatMap(({ isa }) => isa === undefined ? [] : [isa.port]);
  if (new Set(ports).size < ports.length) {
    throw new UsageError("Cannot attach two network cards at the same ports: say iobase");
  }
  return networks;
}

const NAMES: OptionNames<Required<NetworkOptions>> = {
  end: true,
  model: true,
  mac: true,
  iobase: true,
  irq: true,
  bps: true,
  pcap: true,
};

const USER_NAMES: OptionNames<Required<UserNetworkOptions>> = {
  forwards: true,
  restrict: true,
  via: true,
};

/**
 * @param index Of the card among those that the machine starts with.
 * @param defaultModel What the card is where it is not said.
 * @throws {UsageError} When something cannot be.
 */
export function resolveNetwork(
  network: NetworkOptions,
  index?: number,
  defaultModel: NetworkModel = "virtio",
): ResolvedNetwork {
  checkNames("A network", network, NAMES);
  const { end, model = defaultModel, mac, iobase, irq, bps, pcap } = network;
  if (!NETWORK_MODELS.includes(model)) {
    throw new UsageError(
      `Cannot use the network card "${model}": ${NETWORK_MODELS.join(" or ")} is possible`,
    );
  }
  const isa = model === "ne2k_isa" ? resolveIsa(iobase, irq) : undefined;
  if (isa === undefined && (iobase !== undefined || irq !== undefined)) {
    throw new UsageError(`Cannot set iobase or irq of the network card "${model}": it is on PCI`);
  }
  if (isa !== undefined && index === undefined) {
    throw new UsageError('Cannot attach the network card "ne2k_isa" to a machine that runs');
  }
  const resolved = resolveEnd(end);
  const address = mac !== undefined
    ? parseMac(mac)
    : resolved.kind === "user" && index !== undefined
    ? Uint8Array.of(0x52, 0x54, 0x00, 0x68, 0x76, index)
    : randomMac();
  if (bps !== undefined && !(Number.isFinite(bps) && bps >= 1)) {
    throw new UsageError(`Cannot limit a network to ${bps} bytes a second: 1 or more is needed`);
  }
  const mtu = resolved.kind === "user" && resolved.via === "passt" ? PASST_MTU : undefined;
  return { end: resolved, model, mac: address, isa, mtu, bytesPerSecond: bps, pcap };
}

/** @throws {UsageError} */
function resolveIsa(port = ISA_DEFAULT.port, irq = ISA_DEFAULT.irq): IsaPlace {
  if (!ISA_PORTS.includes(port)) {
    const possible = ISA_PORTS.map((one) => `0x${one.toString(16)}`).join(", ");
    throw new UsageError(`Cannot put a network card at iobase ${port}: ${possible} are possible`);
  }
  if (!ISA_IRQS.includes(irq)) {
    throw new UsageError(
      `Cannot give a network card irq ${irq}: ${ISA_IRQS.join(", ")} are possible`,
    );
  }
  return { port, irq };
}

function resolveEnd(end: NetworkOptions["end"]): ResolvedEnd {
  if (end === "user") return resolveUser({});
  const kinds = ["tap", "socket", "user"];
  if (typeof end !== "object" || end === null || !kinds.some((kind) => kind in end)) {
    throw new UsageError(
      `Cannot have a network with the end ${Deno.inspect(end)}: ` +
        '"user", { user: {…} }, { tap: "NAME" } or { socket: "PATH" } is possible',
    );
  }
  if ("tap" in end) return { kind: "tap", name: end.tap };
  if ("socket" in end) return { kind: "socket", path: end.socket, listens: end.listen ?? false };
  return resolveUser(end.user);
}

function resolveUser(user: UserNetworkOptions): ResolvedEnd {
  checkNames("A user network", user, USER_NAMES);
  const { forwards = [], restrict = false, via = "builtin" } = user;
  if (via !== "builtin" && via !== "passt") {
    throw new UsageError(`Cannot have a user network via "${via}": builtin or passt is possible`);
  }
  if (via === "passt" && restrict) {
    throw new UsageError("Cannot restrict a network via passt: leave out one of the two");
  }
  return { kind: "user", forwards: forwards.map(parseForward), restrict, via };
}

/** @throws {UsageError} */
function parseForward(text: string): PortForward {
  const match = /^(tcp|udp):(?:(\[[^\]]*\]|[^:[\]]*):)?(\d{1,5}):(\d{1,5})$/.exec(text);
  const address = match && parseAddress(match[2] ?? "127.0.0.1");
  const hostPort = Number(match?.[3]);
  const guestPort = Number(match?.[4]);
  if (!match || !address || !(hostPort <= 65_535) || !(guestPort >= 1 && guestPort <= 65_535)) {
    throw new UsageError(
      `Cannot forward "${text}": write tcp:HOSTPORT:GUESTPORT or udp:ADDRESS:HOSTPORT:GUESTPORT, ` +
        "with an IPv6 address in brackets",
    );
  }
  return { protocol: match[1] as "tcp" | "udp", address, hostPort, guestPort };
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
