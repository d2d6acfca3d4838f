/** A TAP interface of the host as a network card's other end. */

import { copyBuffer } from "../../hv/core/memory/copy_buffer.ts";
import {
  ALL_OFFLOADS,
  type Frame,
  MAX_FRAME_BYTES,
  MIN_FRAME_BYTES,
  type NetworkCard,
  type NetworkEnd,
} from "../../hv/core/net/network.ts";
import {
  decodeNetworkHeader,
  encodeNetworkHeader,
  NETWORK_HEADER_BYTES,
} from "../../hv/core/net/network_header.ts";
import { wouldBlock } from "../../hv/sys/net/socket.ts";
import { Tap, TapOffload } from "../../hv/sys/net/tap.ts";
import type { DescriptorSet, Watched } from "../../hv/sys/wait/descriptor_set.ts";

/** Frames that one turn takes from the host. */
const FRAMES_A_TURN = 128;

/** See above. Both ways the kernel takes and gives checksums and segmentation that are left to do. */
export class TapEnd implements NetworkEnd {
  readonly offloads = ALL_OFFLOADS;
  readonly #tap: Tap;
  readonly #watched: Watched;
  readonly #received = copyBuffer(NETWORK_HEADER_BYTES + MAX_FRAME_BYTES);
  readonly #sent = new Uint8Array(NETWORK_HEADER_BYTES + MAX_FRAME_BYTES);
  /** A frame of the host's for which the card had no room. */
  #held: Frame | undefined;
  #isFull = false;
  #offloads = -1;

  /** @param fd Stays its owner's. */
  constructor(fd: number, descriptors: DescriptorSet) {
    this.#tap = new Tap(fd);
    this.#watched = descriptors.add(fd, ({ writable }) => {
      if (writable) this.#isFull = false;
    });
  }

  send({ bytes, offload }: Frame): boolean {
    if (this.#isFull) return false;
    encodeNetworkHeader(this.#sent, bytes, offload);
    this.#sent.set(bytes, NETWORK_HEADER_BYTES);
    const length = NETWORK_HEADER_BYTES + bytes.length;
    const result = this.#tap.write(this.#sent.subarray(0, length));
    this.#isFull = wouldBlock(result);
    // Other errors (EIO while the interface is down, EINVAL for nonsense) lose the frame, as a cable does.
    return !this.#isFull;
  }

  serve(card: NetworkCard): number {
    this.#tellOffloads(card);
    const isDone = this.#receive(card);
    this.#watched.await({ readable: this.#held === undefined, writable: this.#isFull });
    return isDone ? Infinity : 0;
  }

  [Symbol.dispose](): void {
    this.#watched[Symbol.dispose]();
  }

  #receive(card: NetworkCard): boolean {
    if (this.#held !== undefined && !card.receive(this.#held)) return true;
    this.#held = undefined;
    for (let count = 0; count < FRAMES_A_TURN; count++) {
      const length = this.#tap.read(this.#received);
      if (length < 0) return true;
      if (length < NETWORK_HEADER_BYTES + MIN_FRAME_BYTES) continue;
      const bytes = this.#received.subarray(NETWORK_HEADER_BYTES, length);
      const offload = decodeNetworkHeader(this.#received, bytes.length);
      if (offload === undefined || card.receive({ bytes, offload })) continue;
      this.#held = { bytes, offload };
      return true;
    }
    return false;
  }

  /** The kernel leaves only to us what the card takes. */
  #tellOffloads({ offloads: { checksum, tcp4, tcp6 } }: NetworkCard): void {
    const offloads = (checksum ? TapOffload.checksum : 0) | (tcp4 ? TapOffload.tcp4 : 0) |
      (tcp6 ? TapOffload.tcp6 : 0);
    if (offloads === this.#offloads) return;
    this.#offloads = offloads;
    this.#tap.setOffloads(offloads);
  }
}
