/** A host end on its way to the thread that serves it: descriptors, which are the process's. */

import type { NetworkEnd } from "../../hv/core/net/network.ts";
import { closeDescriptor } from "../../hv/sys/descriptor.ts";
import { FileHandle } from "../../hv/sys/file/file.ts";
import type { DescriptorSet } from "../../hv/sys/wait/descriptor_set.ts";
import { PcapEnd } from "./pcap_end.ts";
import { StreamEnd } from "./stream_end.ts";
import { TapEnd } from "./tap_end.ts";
import { type Forward, UserEnd } from "./user/user_end.ts";

/** Cloneable; made by main, which also closes it. */
export interface NetworkHandle {
  readonly end: TapHandle | StreamHandle | UserHandle;
  /** A capture file, begun. */
  readonly pcap?: { readonly fd: number; readonly path: string };
}

/** An open TAP interface. */
export interface TapHandle {
  readonly kind: "tap";
  readonly fd: number;
}

/** A Unix stream socket, connected or listening. */
export interface StreamHandle {
  readonly kind: "stream";
  readonly fd: number;
  readonly listens: boolean;
  /** What the user calls it. */
  readonly name: string;
}

/** The network without privileges. */
export interface UserHandle {
  readonly kind: "user";
  readonly restrict: boolean;
  /** The host's name server, 4 or 16 bytes. */
  readonly dns: Uint8Array | undefined;
  readonly forwards: readonly Forward[];
  /** Of the card. */
  readonly mac: Uint8Array;
}

/** What the thread has for its ends. */
export interface EndContext {
  readonly descriptors: DescriptorSet;
  /** Told, in one line, of what the user should know. */
  readonly warn: (line: string) => void;
}

/** The host end behind a handle, for the one thread that serves it; disposing of it leaves the handle open. */
export function attachNetwork({ end, pcap }: NetworkHandle, context: EndContext): NetworkEnd {
  const attached = attachEnd(end, context);
  if (pcap === undefined) return attached;
  return new PcapEnd(attached, new FileHandle(pcap.fd, pcap.path, true), context.warn);
}

function attachEnd(end: NetworkHandle["end"], { descriptors, warn }: EndContext): NetworkEnd {
  switch (end.kind) {
    case "tap":
      return new TapEnd(end.fd, descriptors);
    case "stream":
      return new StreamEnd({ ...end, descriptors, warn });
    case "user":
      return new UserEnd({ ...end, descriptors });
  }
}

/** Closes what a handle holds. */
export function closeNetworkHandle({ end, pcap }: NetworkHandle): void {
  if (end.kind === "user") { for (const { fd } of end.forwards) closeDescriptor(fd); }
  else closeDescriptor(end.fd);
  if (pcap !== undefined) closeDescriptor(pcap.fd);
}
