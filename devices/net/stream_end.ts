/**
 * A Unix stream socket as a network card's other end: each frame with its length in front, 32 bits
 * big-endian, as QEMU's `-netdev stream` and passt speak it.
 *
 * Threats: the peer may send anything and take nothing. Buffers are bounded; a length that no frame has
 * ends the connection, for what follows cannot be told apart any more.
 */

import { copyBuffer } from "../../hv/core/memory/copy_buffer.ts";
import {
  type Frame,
  MAX_FRAME_BYTES,
  MIN_FRAME_BYTES,
  type NetworkCard,
  type NetworkEnd,
  NO_OFFLOADS,
  Unplugged,
} from "../../hv/core/net/network.ts";
import { Socket, wouldBlock } from "../../hv/sys/net/socket.ts";
import type { DescriptorSet, Watched } from "../../hv/sys/wait/descriptor_set.ts";
import { finishFrame, MAX_CUT_BYTES, MAX_SEGMENTS, plainFrame } from "./segment.ts";

const LENGTH_BYTES = 4;
/** Room for several of the longest frames, each way. */
const BUFFER_BYTES = 4 * (LENGTH_BYTES + MAX_FRAME_BYTES);
/** What one frame that was cut takes at most. */
const LONGEST_CUT_BYTES = MAX_SEGMENTS * LENGTH_BYTES + MAX_CUT_BYTES;
/** Reads that one turn makes, and frames that it gives the card. */
const READS_A_TURN = 8;
const FRAMES_A_TURN = 256;

/** How to reach the other end. */
export interface StreamEndOptions {
  /** A connected socket or, with `listens`, one to accept connections from; it stays its owner's. */
  readonly fd: number;
  readonly listens: boolean;
  /** What the user calls it. */
  readonly name: string;
  readonly descriptors: DescriptorSet;
  /** Told, in one line, of what the user should know. */
  readonly warn: (line: string) => void;
}

/** See above. */
export class StreamEnd implements NetworkEnd {
  readonly offloads = NO_OFFLOADS;
  readonly #options: StreamEndOptions;
  readonly #listener: Watched | undefined;
  #socket: Socket | undefined;
  #watched: Watched | undefined;
  readonly #received = copyBuffer(BUFFER_BYTES);
  #receivedStart = 0;
  #receivedEnd = 0;
  readonly #sent = new Uint8Array(BUFFER_BYTES);
  #sentStart = 0;
  #sentEnd = 0;
  /** The card has no room: nothing more is read. */
  #isCardFull = false;
  /** Frames that the card may yet be given in this turn. */
  #left = 0;
  #isLinkUp: boolean | undefined;

  constructor(options: StreamEndOptions) {
    this.#options = options;
    const { fd, listens, descriptors } = options;
    if (!listens) {
      this.#connected(new Socket(fd));
      return;
    }
    this.#listener = descriptors.add(fd, () => this.#accept());
    this.#listener.await({ readable: true });
  }

  send(frame: Frame): boolean {
    // Nobody is there: the cable leads nowhere.
    if (this.#socket === undefined) return true;
    if (!this.#makeRoom(frame.offload.segmentBytes > 0 ? LONGEST_CUT_BYTES : frame.bytes.length)) {
      return false;
    }
    finishFrame(frame, NO_OFFLOADS, ({ bytes }) => this.#append(bytes));
    return true;
  }

  serve(card: NetworkCard): number {
    this.#isCardFull = false;
    this.#left = FRAMES_A_TURN;
    this.#flush();
    const isDone = this.#receive(card);
    const isLinkUp = this.#socket !== undefined;
    if (isLinkUp !== this.#isLinkUp) card.setLink(isLinkUp, Unplugged.end);
    this.#isLinkUp = isLinkUp;
    this.#watched?.await({
      readable: !this.#isCardFull,
      writable: this.#sentEnd > this.#sentStart,
    });
    return isDone ? Infinity : 0;
  }

  [Symbol.dispose](): void {
    this.#watched?.[Symbol.dispose]();
    if (this.#listener === undefined) return;
    this.#socket?.[Symbol.dispose]();
    this.#listener[Symbol.dispose]();
  }

  #accept(): void {
    const accepted = new Socket(this.#options.fd).accept();
    if (accepted === undefined) return;
    // One cable has two ends.
    if (this.#socket === undefined) this.#connected(accepted.socket);
    else accepted.socket[Symbol.dispose]();
  }

  #connected(socket: Socket): void {
    this.#socket = socket;
    this.#receivedStart =
      this.#receivedEnd =
      this.#sentStart =
      this.#sentEnd =
        0;
    // The next turn does the work.
    this.#watched = this.#options.descriptors.add(socket.fd, () => {});
  }

  #disconnect(why: string): void {
    const { name, listens, warn } = this.#options;
    warn(`the network ${name}: ${why}${listens ? "; it waits for another" : ""}`);
    this.#watched?.[Symbol.dispose]();
    this.#watched = undefined;
    if (listens) this.#socket?.[Symbol.dispose]();
    this.#socket = undefined;
  }

  // --- to the peer -----------------------------------------------------------------------------

  #append(bytes: Uint8Array): void {
    const at = this.#sentEnd;
    new DataView(this.#sent.buffer).setUint32(at, bytes.length);
    this.#sent.set(bytes, at + LENGTH_BYTES);
    this.#sentEnd = at + LENGTH_BYTES + bytes.length;
  }

  /** Is there room for this many bytes behind what waits, sending and moving it if need be? */
  #makeRoom(bytes: number): boolean {
    const needed = bytes + LENGTH_BYTES;
    if (this.#sentEnd + needed <= BUFFER_BYTES) return true;
    this.#flush();
    this.#sent.copyWithin(0, this.#sentStart, this.#sentEnd);
    this.#sentEnd -= this.#sentStart;
    this.#sentStart = 0;
    return this.#sentEnd + needed <= BUFFER_BYTES;
  }

  #flush(): void {
    while (this.#socket !== undefined && this.#sentStart < this.#sentEnd) {
      const result = this.#socket.send(this.#sent.subarray(this.#sentStart, this.#sentEnd));
      if (wouldBlock(result)) return;
      if (result < 0) return this.#disconnect("the other end has gone");
      this.#sentStart += result;
    }
    this.#sentStart = this.#sentEnd = 0;
  }

  // --- from the peer ---------------------------------------------------------------------------

  #receive(card: NetworkCard): boolean {
    this.#deliver(card);
    for (let count = 0; count < READS_A_TURN; count++) {
      if (this.#isCardFull || this.#socket === undefined) return true;
      if (this.#left === 0) return false;
      const room = this.#received.subarray(this.#receivedEnd);
      const result = this.#socket.receive(room);
      if (wouldBlock(result)) return true;
      if (result <= 0) {
        this.#disconnect("the other end has gone");
        return true;
      }
      this.#receivedEnd += result;
      this.#deliver(card);
      // There was no more; what comes now ends the next wait.
      if (result < room.length && this.#left > 0) return true;
    }
    return false;
  }

  /** Gives the card the whole frames that have come, and moves what is left to the front. */
  #deliver(card: NetworkCard): void {
    const view = new DataView(this.#received.buffer);
    while (this.#left > 0 && this.#receivedEnd - this.#receivedStart >= LENGTH_BYTES) {
      const length = view.getUint32(this.#receivedStart);
      if (length < MIN_FRAME_BYTES || length > MAX_FRAME_BYTES) {
        return this.#disconnect(`the other end has sent a frame of ${length} bytes`);
      }
      const start = this.#receivedStart + LENGTH_BYTES;
      if (this.#receivedEnd < start + length) break;
      if (!card.receive(plainFrame(this.#received.subarray(start, start + length)))) {
        this.#isCardFull = true;
        break;
      }
      this.#receivedStart = start + length;
      this.#left--;
    }
    this.#received.copyWithin(0, this.#receivedStart, this.#receivedEnd);
    this.#receivedEnd -= this.#receivedStart;
    this.#receivedStart = 0;
  }
}
