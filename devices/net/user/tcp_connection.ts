/**
 * A TCP connection of the guest's with a socket on the host: each side's bytes go to the other, its
 * end too. Begun by the guest (the socket connects) or by the host (a forward was connected to).
 *
 * Threats: the guest sends anything. Sequence numbers outside the window are answered and dropped;
 * what waits for either side is bounded by what the other is told to send; a guest that does not
 * answer is given up after some minutes.
 *
 * Left out: selective acknowledgements, timestamps, urgent data, segments out of order (the network in
 * between keeps the order; what is missing is asked for again).
 *
 * Reference: RFC 9293, 3.10.7.
 */

import { VALID } from "../../../hv/core/net/network.ts";
import { Errno } from "../../../hv/sys/errors.ts";
import { type Socket, wouldBlock } from "../../../hv/sys/net/socket.ts";
import type { Watched } from "../../../hv/sys/wait/descriptor_set.ts";
import { type BufferBudget, ByteQueue } from "./byte_queue.ts";
import type { Flow, FlowContext } from "./flow.ts";
import { put16, put32, TCP } from "./ip.ts";
import {
  ACK,
  distance,
  FIN,
  PSH,
  RST,
  type Segment,
  SYN,
  synOptions,
  TCP_BYTES,
} from "./tcp_segment.ts";
import { TcpSender } from "./tcp_sender.ts";

/** Bytes that wait for each side at most: at 10 ms to the guest and back, 100 MB a second. */
const QUEUE_BYTES = 2 ** 20;
/** Shift of our windows: 2^20 bytes in 16 bits. */
const OUR_SCALE = 5;
/** Most data that is left to the card to cut: with the headers, the longest frame. */
const LONGEST_BYTES = 65_480;
const LONGEST_WINDOW = 65_535;
const ETHERNET_MTU = 1500;

/** Who talks to whom, as the guest sees it. */
export interface TcpAddresses {
  readonly guest: Uint8Array;
  readonly guestPort: number;
  readonly peer: Uint8Array;
  readonly peerPort: number;
}

/** What a connection is made of. */
export interface TcpOptions {
  readonly context: FlowContext;
  readonly addresses: TcpAddresses;
  /** The host's side, which the connection closes. */
  readonly socket: Socket;
  readonly budget: BufferBudget;
  /** It is over: to be forgotten. */
  readonly onEnd: () => void;
}

/** See above. */
export class TcpConnection implements Flow {
  readonly #options: TcpOptions;
  readonly #watched: Watched;
  readonly #toHost: ByteQueue;
  readonly #sender: TcpSender;
  /** The guest's next byte. */
  #receiveNext = 0;
  #peerMss = 0;
  #peerScale: number | undefined;
  #hasGuestSyn = false;
  #hasGuestFin = false;
  /** The guest's end was passed on. */
  #isHostShut = false;
  #isHostConnected: boolean;
  #hasHostEnd = false;
  #isHostReadable = false;
  #owesAck = false;
  /** The window that the guest was told last. */
  #toldWindow = 0;
  #isOver = false;

  /**
   * @param syn The guest's SYN; undefined when the host has connected, and the guest is called.
   */
  constructor(options: TcpOptions, syn: Segment | undefined) {
    this.#options = options;
    const { context, socket, budget } = options;
    this.#toHost = new ByteQueue(budget, QUEUE_BYTES);
    const initial = crypto.getRandomValues(new Uint32Array(1))[0];
    this.#sender = new TcpSender(new ByteQueue(budget, QUEUE_BYTES), initial);
    this.#isHostConnected = syn === undefined;
    this.#watched = context.descriptors.add(socket.fd, ({ readable, writable }) => {
      if (!this.#isHostConnected && writable) this.#hostConnected();
      else if (writable) this.#writeHost();
      if (readable) this.#isHostReadable = true;
      if (!this.#isOver) context.ready(this);
    });
    if (syn === undefined) context.ready(this);
    else this.#guestSyn(syn);
    this.#watch();
  }

  /** The guest has sent a segment of this connection. */
  receive(segment: Segment): void {
    if (this.#isOver) return;
    const { flags, sequence, data } = segment;
    const { context } = this.#options;
    if ((flags & RST) !== 0) return this.#guestReset(segment);
    if ((flags & SYN) !== 0) return this.#synAgain(segment);
    if ((flags & ACK) === 0) return;
    if (!this.#hasGuestSyn) return this.#oldAcknowledgment(segment);
    const window = this.#peerScale === undefined
      ? segment.window
      : segment.window * 2 ** this.#peerScale;
    const isBare = data.length === 0 && (flags & FIN) === 0 && window === this.#sender.window;
    if (!this.#sender.acknowledge(segment.acknowledged, isBare, context.nowNs)) {
      if (this.#sender.isSynAcknowledged) this.#owesAck = true;
      else return this.#reset();
    } else this.#sender.window = window;
    if (data.length > 0 || (flags & FIN) !== 0) this.#receiveData(sequence, data, flags);
    context.ready(this);
  }

  pump(): boolean {
    if (this.#isOver) return true;
    const { context } = this.#options;
    if (!this.#isHostConnected) return true;
    const isDone = this.#pump();
    if (!isDone) return false;
    context.wakeAt(this.#sender.deadlineNs);
    if (this.#sender.isFinAcknowledged && this.#isHostShut) this.#end();
    else this.#watch();
    return true;
  }

  tick(nowNs: number): number {
    const sender = this.#sender;
    if (this.#isOver || nowNs < sender.deadlineNs) return sender.deadlineNs;
    switch (sender.timeout(nowNs)) {
      case "give up":
        this.#reset();
        return Infinity;
      case "probe":
        if (sender.unsent > 0 && sender.window === 0) this.#sendData(1);
        break;
      case "again":
        this.#options.context.ready(this);
    }
    return sender.deadlineNs;
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watched[Symbol.dispose]();
    this.#options.socket[Symbol.dispose]();
    this.#toHost[Symbol.dispose]();
    this.#sender.queue[Symbol.dispose]();
  }

  // --- from the guest --------------------------------------------------------------------------

  #guestSyn({ sequence, options, window }: Segment): void {
    const { mss, windowScale } = synOptions(options);
    this.#peerMss = mss;
    this.#peerScale = windowScale;
    this.#hasGuestSyn = true;
    this.#receiveNext = (sequence + 1) >>> 0;
    // A SYN's window is never scaled (RFC 7323, 2.2).
    this.#sender.window = window;
  }

  /** A SYN to a connection that is there: the guest's answer to ours, a repetition, or nonsense. */
  #synAgain(segment: Segment): void {
    const { context } = this.#options;
    if (this.#hasGuestSyn) {
      const isSame = distance(segment.sequence, this.#receiveNext) === 1;
      if (isSame && !this.#sender.isSynAcknowledged) this.#sender.next = this.#sender.una;
      else this.#owesAck = true;
      return context.ready(this);
    }
    const answers = (segment.flags & ACK) !== 0 &&
      distance(this.#sender.una, segment.acknowledged) === 1;
    if (!answers) return this.#reset();
    this.#guestSyn(segment);
    this.#sender.acknowledge(segment.acknowledged, false, context.nowNs);
    this.#owesAck = true;
    context.ready(this);
  }

  /**
   * What the guest knows of an earlier connection, in TIME-WAIT for a minute, is in the way of ours: a reset
   * ends it, and the SYN that is sent again gets through (RFC 9293, 3.10.7.3).
   */
  #oldAcknowledgment({ acknowledged }: Segment): void {
    const { context: { output }, addresses } = this.#options;
    const isOurs = distance(this.#sender.una, acknowledged) === 1;
    if (!isOurs) postReset(output, addresses, acknowledged, undefined);
  }

  /** RFC 5961, 3.2: a reset counts at the very place, and calls for an answer within the window. */
  #guestReset({ sequence, flags, acknowledged }: Segment): void {
    if (!this.#hasGuestSyn) {
      // The guest refuses: nobody listens at the port that was forwarded.
      const isAnswer = (flags & ACK) !== 0 && distance(this.#sender.una, acknowledged) === 1;
      if (isAnswer) this.#end();
      return;
    }
    const offset = distance(this.#receiveNext, sequence);
    if (offset === 0) return this.#end();
    if (offset > 0 && offset < QUEUE_BYTES) {
      this.#owesAck = true;
      this.#options.context.ready(this);
    }
  }

  #receiveData(sequence: number, data: Uint8Array, flags: number): void {
    this.#owesAck = true;
    const old = distance(sequence, this.#receiveNext);
    if (old < 0 || this.#hasGuestFin) return;
    if (old <= data.length) {
      const fresh = data.subarray(old);
      const accepted = this.#deliver(fresh);
      this.#receiveNext = (this.#receiveNext + accepted) >>> 0;
      if (accepted < fresh.length) return;
    }
    const end = (sequence + data.length) >>> 0;
    if ((flags & FIN) === 0 || end !== this.#receiveNext) return;
    this.#receiveNext = (this.#receiveNext + 1) >>> 0;
    this.#hasGuestFin = true;
    this.#passEnd();
  }

  /** To the host, at once where it takes it; how many bytes were taken. */
  #deliver(data: Uint8Array): number {
    let done = 0;
    if (this.#isHostConnected && this.#toHost.length === 0 && data.length > 0) {
      const result = this.#options.socket.send(data);
      if (result < 0 && !wouldBlock(result)) {
        // The host's side is gone: its reading end will say how.
        this.#isHostReadable = true;
        return data.length;
      }
      done = Math.max(0, result);
    }
    return done + this.#toHost.push(data.subarray(done));
  }

  // --- the host --------------------------------------------------------------------------------

  #hostConnected(): void {
    const error = this.#options.socket.takeError();
    // The guest is told at once, whatever the reason.
    if (error !== 0) return this.#reset();
    this.#isHostConnected = true;
    this.#options.socket.setNoDelay();
    this.#writeHost();
  }

  #writeHost(): void {
    while (this.#toHost.length > 0) {
      const result = this.#options.socket.send(this.#toHost.front());
      if (wouldBlock(result)) return;
      if (result < 0) {
        this.#toHost.drop(this.#toHost.length);
        this.#isHostReadable = true;
        break;
      }
      this.#toHost.drop(result);
    }
    this.#passEnd();
  }

  /** Passes the guest's end on, once everything before it has gone. */
  #passEnd(): void {
    if (!this.#hasGuestFin || this.#isHostShut || this.#toHost.length > 0) return;
    if (!this.#isHostConnected) return;
    this.#isHostShut = true;
    this.#options.socket.endSending();
  }

  #readHost(): void {
    const { queue } = this.#sender;
    while (this.#isHostReadable && !this.#hasHostEnd) {
      const space = queue.space();
      if (space.length === 0) return;
      const result = this.#options.socket.receive(space);
      if (result > 0) {
        queue.commit(result);
        if (result < space.length) this.#isHostReadable = false;
      } else if (result === 0) this.#hasHostEnd = true;
      else if (wouldBlock(result)) this.#isHostReadable = false;
      else return this.#reset();
    }
  }

  #watch(): void {
    if (this.#isOver) return;
    this.#watched.await({
      readable: this.#isHostConnected && !this.#hasHostEnd && !this.#isHostReadable,
      writable: !this.#isHostConnected || this.#toHost.length > 0,
    });
  }

  // --- to the guest ----------------------------------------------------------------------------

  #pump(): boolean {
    const sender = this.#sender;
    if (!sender.isSynAcknowledged) {
      return sender.inFlight > 0 || this.#sendSyn();
    }
    for (;;) {
      this.#readHost();
      if (this.#isOver) return true;
      const count = sender.allowed(this.#mss);
      if (count > 0) {
        if (!this.#sendData(count)) return false;
        continue;
      }
      break;
    }
    if (sender.unsent > 0 && sender.inFlight === 0) {
      sender.awaitWindow(this.#options.context.nowNs);
    }
    const isAtEnd = this.#hasHostEnd && sender.unsent === 0 && !sender.isFinSent;
    if (isAtEnd && !sender.isFinAcknowledged && !this.#sendFin()) return false;
    // A window that has opened by much is worth a word (RFC 9293, 3.8.6.2.2).
    if (this.#window - this.#toldWindow >= this.#mostWindow / 2) this.#owesAck = true;
    return !this.#owesAck || this.#send(ACK, sender.next, 0);
  }

  get #mss(): number {
    const headers = this.#options.addresses.guest.length === 4 ? 40 : 60;
    return Math.min(this.#peerMss, ETHERNET_MTU - headers);
  }

  /** Bytes that the guest may send beyond `#receiveNext`. */
  get #window(): number {
    return Math.max(0, Math.min(this.#mostWindow, this.#toHost.room));
  }

  get #mostWindow(): number {
    return this.#peerScale === undefined ? LONGEST_WINDOW : QUEUE_BYTES;
  }

  #sendSyn(): boolean {
    const flags = this.#hasGuestSyn ? SYN | ACK : SYN;
    if (!this.#send(flags, this.#sender.una, 0)) return false;
    this.#sender.sent(1, this.#options.context.nowNs);
    return true;
  }

  #sendFin(): boolean {
    if (!this.#send(FIN | ACK, this.#sender.next, 0)) return false;
    this.#sender.isFinSent = true;
    this.#sender.sent(1, this.#options.context.nowNs);
    return true;
  }

  #sendData(count: number): boolean {
    const { output } = this.#options.context;
    const isIpv6 = this.#options.addresses.guest.length !== 4;
    const isCut = isIpv6 ? output.offloads.tcp6 : output.offloads.tcp4;
    const mss = this.#mss;
    // Whole segments, as long as there are more.
    const length = Math.min(count, isCut ? LONGEST_BYTES - LONGEST_BYTES % mss : mss);
    if (!this.#send(length === this.#sender.unsent ? ACK | PSH : ACK, this.#sender.next, length)) {
      return false;
    }
    this.#sender.sent(length, this.#options.context.nowNs);
    return true;
  }

  /** A segment with `length` bytes of the queue; false: the card has no room. */
  #send(flags: number, sequence: number, length: number): boolean {
    const { context: { output }, addresses } = this.#options;
    if (!output.hasRoom) return false;
    const { writer } = output;
    const header = {
      source: addresses.peer,
      destination: addresses.guest,
      protocol: TCP,
      mac: output.mac,
    };
    const start = writer.payloadStart(addresses.guest);
    const { bytes } = writer;
    const isSyn = (flags & SYN) !== 0;
    const optionBytes = isSyn ? this.#writeOptions(bytes, start + TCP_BYTES) : 0;
    const window = this.#window;
    const scale = isSyn || this.#peerScale === undefined ? 0 : OUR_SCALE;
    put16(bytes, start, addresses.peerPort);
    put16(bytes, start + 2, addresses.guestPort);
    put32(bytes, start + 4, sequence);
    put32(bytes, start + 8, (flags & ACK) !== 0 ? this.#receiveNext : 0);
    bytes[start + 12] = (TCP_BYTES + optionBytes) << 2;
    bytes[start + 13] = flags;
    put16(bytes, start + 14, Math.min(LONGEST_WINDOW, window >> scale));
    put32(bytes, start + 16, 0);
    const headerBytes = TCP_BYTES + optionBytes;
    if (length > 0) {
      const offset = distance(this.#sender.una, sequence);
      this.#sender.queue.copy(offset, length, bytes, start + headerBytes);
    }
    const total = headerBytes + length;
    let offload = VALID;
    if (output.offloads.checksum) {
      writer.sumLater(header, total, 16);
      const mss = this.#mss;
      const isCut = length > mss;
      offload = {
        needsChecksum: true,
        checksumStart: start,
        checksumOffset: 16,
        isValid: false,
        segmentBytes: isCut ? mss : 0,
        headerBytes: isCut ? start + headerBytes : 0,
      };
    } else writer.sum(header, total, 16);
    if (!output.give({ bytes: writer.finish(header, total), offload })) return false;
    this.#toldWindow = window;
    this.#owesAck = false;
    return true;
  }

  /** Longest segment, and our windows' scale unless the guest scales none; gives their length. */
  #writeOptions(bytes: Uint8Array, at: number): number {
    const mss = ETHERNET_MTU - (this.#options.addresses.guest.length === 4 ? 40 : 60);
    bytes.set([2, 4, mss >> 8, mss & 0xff], at);
    if (this.#hasGuestSyn && this.#peerScale === undefined) return 4;
    bytes.set([1, 3, 3, OUR_SCALE], at + 4);
    return 8;
  }

  #reset(): void {
    const { context: { output }, addresses } = this.#options;
    const { next } = this.#sender;
    postReset(output, addresses, next, this.#hasGuestSyn ? this.#receiveNext : undefined);
    this.#end();
  }

  #end(): void {
    this[Symbol.dispose]();
    this.#options.onEnd();
  }
}

/** Sends a reset (RFC 9293, 3.10.7.1). */
export function postReset(
  output: FlowContext["output"],
  { guest, guestPort, peer, peerPort }: TcpAddresses,
  sequence: number,
  acknowledged: number | undefined,
): void {
  const segment = new Uint8Array(TCP_BYTES);
  put16(segment, 0, peerPort);
  put16(segment, 2, guestPort);
  put32(segment, 4, sequence);
  put32(segment, 8, acknowledged ?? 0);
  segment[12] = TCP_BYTES << 2;
  segment[13] = acknowledged === undefined ? RST : RST | ACK;
  output.postPacket({ source: peer, destination: guest, protocol: TCP }, segment, 16);
}

/** Is it only that connecting goes on? */
export const isConnecting = (result: number): boolean =>
  result === 0 || result === -Errno.EINPROGRESS;
