/** A network card without a guest: what it sends is put in, what it receives is kept. */

import type { Frame, NetworkCard, Offloads, Unplugged } from "../../../hv/core/net/network.ts";
import { NO_OFFLOADS, PLAIN } from "../../../hv/core/net/network.ts";

/** See above. */
export class TestCard implements NetworkCard {
  offloads: Offloads = NO_OFFLOADS;
  /** What the guest is going to send. */
  readonly toSend: Frame[] = [];
  /** What the guest has received. */
  readonly received: Frame[] = [];
  /** How many more frames it takes. */
  room = Infinity;
  isUp: boolean | undefined;

  /** Has the guest send a frame. */
  queue(bytes: Uint8Array, offload = PLAIN): void {
    this.toSend.push({ bytes, offload });
  }
  fetch(): Frame | undefined {
    return this.toSend.shift();
  }
  endFetching(): void {}
  receive({ bytes, offload }: Frame): boolean {
    if (this.room <= 0) return false;
    this.room--;
    this.received.push({ bytes: bytes.slice(), offload });
    return true;
  }
  setLink(isUp: boolean, _who: Unplugged): void {
    this.isUp = isUp;
  }
}

/** A frame of `length` bytes, of which each is `fill`. */
export const frameOf = (fill: number, length = 60): Uint8Array => new Uint8Array(length).fill(fill);
