/**
 * A host end whose frames, both ways, are also written to a file that Wireshark and tcpdump read.
 *
 * Reference: draft-ietf-opsawg-pcap (the classic format, version 2.4, with nanoseconds).
 */

import type { Frame, NetworkCard, NetworkEnd, Offloads } from "../../hv/core/net/network.ts";
import type { FileHandle } from "../../hv/sys/file/file.ts";

const MAGIC_NANOSECONDS = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET = 1;
const HEADER_BYTES = 24;
const RECORD_BYTES = 16;
/** Longest packet that readers take. */
const SNAP_BYTES = 262_144;

/** The beginning of a capture file. */
export function pcapHeader(): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  view.setUint32(0, MAGIC_NANOSECONDS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAP_BYTES, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return new Uint8Array(view.buffer);
}

/** See above. What is cut into segments later is in the file as it was before. */
export class PcapEnd implements NetworkEnd {
  readonly #end: NetworkEnd;
  readonly #file: FileHandle;
  readonly #warn: (line: string) => void;
  readonly #record = new DataView(new ArrayBuffer(RECORD_BYTES));
  #position: number;
  #hasFailed = false;

  /** @param file Stays its owner's; it begins with `pcapHeader`, and records are added at its end. */
  constructor(end: NetworkEnd, file: FileHandle, warn: (line: string) => void) {
    this.#end = end;
    this.#file = file;
    this.#warn = warn;
    this.#position = file.size;
  }

  get offloads(): Offloads {
    return this.#end.offloads;
  }

  send(frame: Frame): boolean {
    if (!this.#end.send(frame)) return false;
    this.#write(frame.bytes);
    return true;
  }

  serve(card: NetworkCard, nowNs: number): number {
    return this.#end.serve({
      offloads: card.offloads,
      fetch: () => card.fetch(),
      endFetching: () => card.endFetching(),
      receive: (frame) => {
        if (!card.receive(frame)) return false;
        this.#write(frame.bytes);
        return true;
      },
      setLink: (isUp, who) => card.setLink(isUp, who),
    }, nowNs);
  }

  [Symbol.dispose](): void {
    this.#end[Symbol.dispose]();
  }

  #write(bytes: Uint8Array): void {
    if (this.#hasFailed) return;
    const now = Date.now();
    this.#record.setUint32(0, Math.floor(now / 1000), true);
    this.#record.setUint32(4, (now % 1000) * 1_000_000, true);
    this.#record.setUint32(8, bytes.length, true);
    this.#record.setUint32(12, bytes.length, true);
    try {
      this.#file.write(new Uint8Array(this.#record.buffer), this.#position);
      this.#file.write(bytes, this.#position + RECORD_BYTES);
      this.#position += RECORD_BYTES + bytes.length;
    } catch (error) {
      // The guest's network goes on without.
      this.#hasFailed = true;
      this.#warn(`the capture ends: ${(error as Error).message}`);
    }
  }
}
