/**
 * A connection between a port of the guest and one of the host: what has yet to be said to the guest,
 * the credit that each side has given the other, and how it comes to its end.
 *
 * Credit (5.10.6.3): each side says in every packet how much room it has and how much it has taken out
 * of it; the other sends no more than fits. What the guest sends beyond that resets the connection.
 * What the host's end does not take at once waits here, within that room.
 *
 * End (5.10.6.6): each side may say that it sends, or receives, no more. Who has heard both answers
 * RST. What the guest had sent before is still given to the host's end (`isLingering`).
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.10 "Socket Device".
 */

import type { VsockStream } from "../../../hv/core/net/vsock.ts";
import { type VsockHeader, VsockOp, VsockShutdown } from "./packet.ts";

/** Room for what the guest sends on one connection, bytes. */
export const BUFFER_BYTES = 128 * 1024;
/** The guest is told of room when it may think that there is less than half. */
const UPDATE_BYTES = BUFFER_BYTES / 2;

/** A packet that is to be sent; "data" as much as there is room for. */
export type Outgoing = { readonly op: number; readonly flags: number } | "data";

/** See above. */
export class VsockConnection {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly #stream: VsockStream;
  /** Has the guest accepted, or did it begin? */
  #isEstablished: boolean;
  /** Packets without data that are due, a bit for each op. */
  #due = 0;
  /** What each side has said that it will do no more, as SHUTDOWN's flags. */
  #guestShutdown = 0;
  #hostShutdown = 0;
  /** What the guest has been told of `#hostShutdown`. */
  #toldShutdown = 0;

  // Towards the guest.
  #guestBufferBytes = 0;
  #guestForwarded = 0;
  #sent = 0;
  /** Does the guest know that more could be sent? */
  #hasAskedForCredit = false;

  // Towards the host.
  #received = 0;
  #forwarded = 0;
  #toldForwarded = 0;
  #waiting: Uint8Array | undefined;
  #waitingStart = 0;
  #waitingEnd = 0;

  /**
   * @param isFromGuest Did the guest begin?
   * @param onWork Told when there may be something to be sent, or the connection has ended.
   */
  constructor(
    { hostPort, guestPort, stream, isFromGuest, onWork }: {
      readonly hostPort: number;
      readonly guestPort: number;
      readonly stream: VsockStream;
      readonly isFromGuest: boolean;
      readonly onWork: (connection: VsockConnection) => void;
    },
  ) {
    this.hostPort = hostPort;
    this.guestPort = guestPort;
    this.#stream = stream;
    this.#isEstablished = isFromGuest;
    this.#owe(isFromGuest ? VsockOp.RESPONSE : VsockOp.REQUEST);
    stream.onReady = () => {
      this.#flush();
      onWork(this);
    };
    this.#await(false);
  }

  /** Nothing is left to do for it: the guest knows its end, or is not to hear of it. */
  isOver = false;

  /** The guest has done with it; the host's end still has to take what waits. */
  get isLingering(): boolean {
    return this.isOver && this.#waitingBytes > 0;
  }

  /** Room that the guest may fill, and what has been taken out of it. */
  get credit(): { bufferBytes: number; forwarded: number } {
    return { bufferBytes: BUFFER_BYTES, forwarded: this.#forwarded };
  }

  // --- from the guest ------------------------------------------------------------------------

  /** The room that the guest says, in every packet, that it has. */
  takeCredit({ bufferBytes, forwarded }: VsockHeader): void {
    this.#guestBufferBytes = bufferBytes;
    this.#guestForwarded = forwarded;
    this.#hasAskedForCredit = false;
  }

  /** A packet that is not RW. */
  receive(header: VsockHeader): void {
    this.takeCredit(header);
    if (header.op === VsockOp.RST) return this.#end();
    // The guest has yet to hear that it is broken off.
    if (this.#owes(VsockOp.RST)) return;
    switch (header.op) {
      case VsockOp.RESPONSE:
        if (this.#isEstablished) return this.reset();
        this.#isEstablished = true;
        this.#stream.accepted?.(this.hostPort);
        break;
      case VsockOp.SHUTDOWN:
        this.#guestShutdown |= header.flags & VsockShutdown.BOTH;
        this.#afterFlush();
        break;
      case VsockOp.CREDIT_UPDATE:
        break;
      case VsockOp.CREDIT_REQUEST:
        this.#owe(VsockOp.CREDIT_UPDATE);
        break;
      default:
        this.reset();
    }
  }

  /** Data of a RW packet; more than there was room for, or than was to come, ends the connection. */
  receiveData(header: VsockHeader, data: Uint8Array): void {
    this.takeCredit(header);
    if (this.#owes(VsockOp.RST)) return;
    const inFlight = (this.#received - this.#forwarded) >>> 0;
    const isUnexpected = !this.#isEstablished || (this.#guestShutdown & VsockShutdown.SEND) !== 0;
    if (isUnexpected || inFlight + data.length > BUFFER_BYTES) return this.reset();
    this.#received = (this.#received + data.length) >>> 0;
    const taken = this.#waitingBytes > 0 ? 0 : this.#write(data);
    this.#wait(data.subarray(taken));
    this.#await(false);
  }

  /** Breaks the connection off: the guest is told, the host's end closed. */
  reset(): void {
    this.#due = 0;
    this.#owe(VsockOp.RST);
    this.#drop();
  }

  /** Closes the host's end, without a word to the guest. */
  close(): void {
    this.isOver = true;
    this.#due = 0;
    this.#drop();
  }

  // --- to the guest --------------------------------------------------------------------------

  /** What is to be sent next, if anything; `sent` says that it was. */
  next(): Outgoing | undefined {
    for (const op of [VsockOp.RST, VsockOp.REQUEST, VsockOp.RESPONSE]) {
      if (this.#owes(op)) return { op, flags: 0 };
    }
    if (this.isOver || !this.#isEstablished) return undefined;
    const data = this.#nextData();
    if (data !== undefined) return data;
    for (const op of [VsockOp.CREDIT_UPDATE, VsockOp.CREDIT_REQUEST]) {
      if (this.#owes(op)) return { op, flags: 0 };
    }
    const flags = this.#hostShutdown & ~this.#toldShutdown;
    if (flags !== 0) return { op: VsockOp.SHUTDOWN, flags: this.#hostShutdown };
    return undefined;
  }

  /** Fills `into` with data that `next` has said there is; how many bytes. */
  read(into: Uint8Array): number {
    return this.#stream.read(into.subarray(0, Math.min(into.length, this.#guestRoom)));
  }

  /** A packet that `next` had said, with so much data, is on its way. */
  sent(outgoing: Outgoing, length: number): void {
    this.#toldForwarded = this.#forwarded;
    this.#due &= ~(1 << VsockOp.CREDIT_UPDATE);
    if (outgoing === "data") {
      this.#sent = (this.#sent + length) >>> 0;
      if (this.#guestRoom === 0 && !this.#hasAskedForCredit) {
        this.#hasAskedForCredit = true;
        this.#owe(VsockOp.CREDIT_REQUEST);
      }
      return;
    }
    this.#due &= ~(1 << outgoing.op);
    if (outgoing.op === VsockOp.RST) this.isOver = true;
    if (outgoing.op === VsockOp.SHUTDOWN) this.#toldShutdown |= outgoing.flags;
  }

  #nextData(): Outgoing | undefined {
    const isWanted = ((this.#guestShutdown & VsockShutdown.RECEIVE) |
      (this.#hostShutdown & VsockShutdown.SEND)) === 0;
    if (!isWanted) return undefined;
    if (this.#guestRoom === 0) {
      this.#await(false);
      return undefined;
    }
    const input = this.#stream.look();
    if (input === "data") return "data";
    if (input === "end") {
      this.#hostShutdown |= this.#stream.isBroken ? VsockShutdown.BOTH : VsockShutdown.SEND;
    }
    this.#await(input === "none");
    return undefined;
  }

  /** Bytes that the guest has room for. */
  get #guestRoom(): number {
    const inFlight = (this.#sent - this.#guestForwarded) >>> 0;
    return Math.max(0, this.#guestBufferBytes - inFlight);
  }

  #owe(op: number): void {
    this.#due |= 1 << op;
  }

  #owes(op: number): boolean {
    return (this.#due & (1 << op)) !== 0;
  }

  // --- to the host ---------------------------------------------------------------------------

  get #waitingBytes(): number {
    return this.#waitingEnd - this.#waitingStart;
  }

  /** Bytes that the host's end has taken, or will never take. */
  #write(data: Uint8Array): number {
    let taken = this.#stream.write(data);
    if (taken < 0) {
      // The guest still gets what the host had sent before.
      this.#hostShutdown |= VsockShutdown.RECEIVE;
      taken = data.length;
    }
    this.#forwarded = (this.#forwarded + taken) >>> 0;
    if (((this.#forwarded - this.#toldForwarded) >>> 0) >= UPDATE_BYTES) {
      this.#owe(VsockOp.CREDIT_UPDATE);
    }
    return taken;
  }

  #wait(data: Uint8Array): void {
    if (data.length === 0) return;
    const waiting = this.#waiting ??= new Uint8Array(BUFFER_BYTES);
    if (this.#waitingEnd + data.length > BUFFER_BYTES) {
      waiting.copyWithin(0, this.#waitingStart, this.#waitingEnd);
      this.#waitingEnd -= this.#waitingStart;
      this.#waitingStart = 0;
    }
    waiting.set(data, this.#waitingEnd);
    this.#waitingEnd += data.length;
  }

  #flush(): void {
    if (this.#waiting === undefined) return;
    this.#waitingStart += this.#write(
      this.#waiting.subarray(this.#waitingStart, this.#waitingEnd),
    );
    if (this.#waitingBytes === 0) {
      this.#waiting = undefined;
      this.#waitingStart = this.#waitingEnd = 0;
    }
    this.#afterFlush();
    this.#await(false);
  }

  /** What the guest's shutdown asks for, when what it had sent before is with the host. */
  #afterFlush(): void {
    const isFlushed = this.#waitingBytes === 0;
    if (this.isOver) {
      if (isFlushed) this.#stream.close();
      return;
    }
    if (this.#guestShutdown === VsockShutdown.BOTH) {
      this.#owe(VsockOp.RST);
      if (isFlushed) this.#drop();
    } else if (isFlushed && (this.#guestShutdown & VsockShutdown.SEND) !== 0) {
      this.#stream.endWriting();
    }
  }

  /** The guest has ended it. */
  #end(): void {
    this.isOver = true;
    this.#due = 0;
    if ((this.#guestShutdown & VsockShutdown.SEND) === 0) this.#drop();
    else this.#afterFlush();
  }

  #drop(): void {
    this.#waiting = undefined;
    this.#waitingStart = this.#waitingEnd = 0;
    this.#stream.close();
  }

  #await(readable: boolean): void {
    this.#stream.await({ readable, writable: this.#waitingBytes > 0 });
  }
}
