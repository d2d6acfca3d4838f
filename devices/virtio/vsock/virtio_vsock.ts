/**
 * Virtio socket device: connections between programs of the guest and of the host, by ports, without a
 * network.
 *
 * Three queues: what the guest receives, what it sends, events. Connections live on the I/O worker; a
 * reset by the driver ends them all. What has to be sent is kept as flags of its connection, so that a
 * guest that gives no buffers makes nothing grow; refusals of what belongs to no connection are a short
 * list, and while that is full nothing more is taken from the guest.
 *
 * Threats: every field of a header; floods of requests (connections are bounded), data beyond the
 * credit, buffers without room.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.10 "Socket Device". Left out: SEQPACKET.
 */

import type { VsockHost, VsockStream } from "../../../hv/core/net/vsock.ts";
import { record, words } from "../../../hv/core/state/record.ts";
import type { DescriptorChain } from "../queue/descriptor_chain.ts";
import { type VirtioDevice, type VirtioDeviceCore, VirtioDeviceId } from "../virtio_device.ts";
import type { Virtqueue } from "../queue/virtqueue.ts";
import { BUFFER_BYTES, type Outgoing, VsockConnection } from "./connection.ts";
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  HOST_CID,
  VSOCK_TYPE_STREAM,
  type VsockHeader,
  VsockOp,
} from "./packet.ts";

/** Feature bits (5.10.3). */
export const VsockFeature = { STREAM: 0 } as const;

/** Numbers of the queues (5.10.2). */
const RX = 0;
const TX = 1;
const EVENT = 2;
const QUEUE_SIZES = [128, 128, 16];

/** Event: connections are gone, the guest's address may be another (5.10.6.7). */
const EVENT_TRANSPORT_RESET = 0;

/** Connections at a time, those that still give the host what came before their end included. */
const MAX_CONNECTIONS = 256;
/** Refusals that wait for buffers. */
const MAX_REFUSALS = 256;
/** The first port of the host's end of what the host begins: none that a program there would serve. */
const FIRST_HOST_PORT = 0x4000_0000;

/** State. */
export const VirtioVsockState = record("virtio vsock", 1, {
  /** How often the device has been reset: the I/O worker ends the connections of before. */
  resets: words(1),
});

/** What the other end of a refusal was. */
interface Refusal {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly type: number;
}

/** See above. */
export class VirtioVsock implements VirtioDevice {
  readonly id = VirtioDeviceId.vsock;
  readonly features = [VsockFeature.STREAM];
  readonly queueSizes = QUEUE_SIZES;
  readonly config: Uint8Array;
  /** Whoever serves the host's ports; the I/O worker sets it. */
  host: VsockHost | undefined;
  #core: VirtioDeviceCore | undefined;
  readonly #guestCid: number;
  readonly #state: InstanceType<typeof VirtioVsockState>;
  /** By `key`. */
  readonly #connections = new Map<string, VsockConnection>();
  /** Those with something to send, perhaps, in turn. */
  readonly #ready = new Set<VsockConnection>();
  readonly #lingering = new Set<VsockConnection>();
  readonly #refusals: Refusal[] = [];
  #mustTellReset = false;
  #resetsSeen: number;
  #nextHostPort = FIRST_HOST_PORT;
  readonly #packet = new Uint8Array(HEADER_BYTES + BUFFER_BYTES);

  /** @param guestCid The guest's address, 3 to FFFFFFFEh. */
  constructor(state: InstanceType<typeof VirtioVsockState>, guestCid: number) {
    this.#state = state;
    this.#guestCid = guestCid;
    this.#resetsSeen = state.resets[0];
    this.config = new Uint8Array(8);
    new DataView(this.config.buffer).setUint32(0, guestCid, true);
  }

  /** Connections, for tests. */
  get count(): number {
    return this.#connections.size + this.#lingering.size;
  }

  connect(core: VirtioDeviceCore): void {
    this.#core = core;
  }

  reset(): void {
    Atomics.add(this.#state.resets, 0, 1);
    // Host ends are to be closed now, not when the next driver comes.
    this.#core?.revisit(TX);
  }

  serve(queue: Virtqueue): void {
    this.#noticeReset();
    if (queue.index === RX) this.#serveReceive(queue);
    else if (queue.index === TX) this.#serveTransmit(queue);
    else this.#serveEvents(queue);
  }

  // --- for the host's side, on the I/O worker --------------------------------------------------

  /** Connects a stream of the host to a port of the guest; false when there are too many. */
  openConnection(guestPort: number, stream: VsockStream): boolean {
    if (this.count >= MAX_CONNECTIONS) return false;
    let hostPort: number;
    do {
      hostPort = this.#nextHostPort;
      // Below the number that means any port.
      this.#nextHostPort = hostPort >= 0x7fff_fffe ? FIRST_HOST_PORT : hostPort + 1;
    } while (this.#connections.has(key(hostPort, guestPort)));
    this.#add({ hostPort, guestPort, stream, isFromGuest: false });
    return true;
  }

  /** Tells the guest that all its connections are gone: those of a worker before this one. */
  tellReset(): void {
    this.#mustTellReset = true;
    this.#core?.revisit(EVENT);
  }

  /** Closes all host ends. */
  [Symbol.dispose](): void {
    for (const connection of [...this.#connections.values(), ...this.#lingering]) {
      connection.close();
    }
    this.#connections.clear();
    this.#lingering.clear();
    this.#ready.clear();
    this.#refusals.length = 0;
  }

  #noticeReset(): void {
    const resets = Atomics.load(this.#state.resets, 0);
    if (resets === this.#resetsSeen) return;
    this.#resetsSeen = resets;
    this.#mustTellReset = false;
    this[Symbol.dispose]();
  }

  #add(
    options: Omit<ConstructorParameters<typeof VsockConnection>[0], "onWork">,
  ): void {
    const connection = new VsockConnection({ ...options, onWork: (one) => this.#work(one) });
    this.#connections.set(key(options.hostPort, options.guestPort), connection);
    this.#work(connection);
  }

  /** Something has happened to a connection. */
  #work(connection: VsockConnection): void {
    if (connection.isOver) {
      this.#ready.delete(connection);
      const place = key(connection.hostPort, connection.guestPort);
      // Another may have taken its place since.
      if (this.#connections.get(place) === connection) this.#connections.delete(place);
      if (connection.isLingering) this.#lingering.add(connection);
      else this.#lingering.delete(connection);
      return;
    }
    this.#ready.add(connection);
    this.#core?.revisit(RX);
  }

  // --- from the guest ------------------------------------------------------------------------

  #serveTransmit(queue: Virtqueue): void {
    while (this.#refusals.length < MAX_REFUSALS) {
      const chain = queue.pop();
      if (chain === undefined) return;
      if (chain.read(0, this.#packet) < HEADER_BYTES) {
        queue.reject(chain);
        return;
      }
      this.#receive(decodeHeader(this.#packet), chain);
      queue.push(chain, 0);
    }
  }

  #receive(header: VsockHeader, chain: DescriptorChain): void {
    // Not from this guest, or not to this host: nobody's (5.10.6.4).
    if (header.sourceCid !== this.#guestCid || header.destinationCid !== HOST_CID) return;
    const connection = this.#connections.get(key(header.destinationPort, header.sourcePort));
    const isSound = header.type === VSOCK_TYPE_STREAM &&
      header.length <= Math.min(chain.readableBytes - HEADER_BYTES, BUFFER_BYTES) &&
      (header.length === 0 || header.op === VsockOp.RW);
    if (connection === undefined) {
      if (header.op === VsockOp.REQUEST && isSound) this.#accept(header);
      else if (header.op !== VsockOp.RST) this.#refuse(header);
      return;
    }
    if (!isSound) connection.reset();
    else if (header.op !== VsockOp.RW) connection.receive(header);
    else {
      const data = this.#packet.subarray(HEADER_BYTES, HEADER_BYTES + header.length);
      connection.receiveData(header, data);
    }
    this.#work(connection);
  }

  #accept(header: VsockHeader): void {
    const { destinationPort: hostPort, sourcePort: guestPort } = header;
    const stream = this.count < MAX_CONNECTIONS ? this.host?.connect(hostPort) : undefined;
    if (stream === undefined) return this.#refuse(header);
    this.#add({ hostPort, guestPort, stream, isFromGuest: true });
    // The request has the guest's credit, too.
    this.#connections.get(key(hostPort, guestPort))?.takeCredit(header);
  }

  #refuse({ destinationPort: hostPort, sourcePort: guestPort, type }: VsockHeader): void {
    this.#refusals.push({ hostPort, guestPort, type });
    this.#core?.revisit(RX);
  }

  // --- to the guest --------------------------------------------------------------------------

  #serveReceive(queue: Virtqueue): void {
    while (this.#refusals.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) return;
      const { type, ...ports } = this.#refusals[0];
      const refusal = { ...ports, type, op: VsockOp.RST, flags: 0, length: 0 };
      if (!this.#send(queue, chain, { ...refusal, bufferBytes: 0, forwarded: 0 })) return;
      if (this.#refusals.length === MAX_REFUSALS) this.#core?.revisit(TX);
      this.#refusals.shift();
    }
    for (const connection of this.#ready) {
      this.#ready.delete(connection);
      const outgoing = connection.next();
      if (outgoing === undefined) continue;
      // Whether it can be sent or not, there is more to do for it; others come first.
      this.#ready.add(connection);
      const chain = queue.pop();
      if (chain === undefined || !this.#sendNext(queue, chain, connection, outgoing)) return;
    }
  }

  #sendNext(
    queue: Virtqueue,
    chain: DescriptorChain,
    connection: VsockConnection,
    outgoing: Outgoing,
  ): boolean {
    const isData = outgoing === "data";
    const room = Math.min(chain.writableBytes, this.#packet.length) - HEADER_BYTES;
    if (isData && room <= 0) {
      queue.reject(chain);
      return false;
    }
    const into = this.#packet.subarray(HEADER_BYTES, HEADER_BYTES + room);
    const length = isData ? connection.read(into) : 0;
    const { hostPort, guestPort, credit } = connection;
    const { op, flags } = isData ? { op: VsockOp.RW, flags: 0 } : outgoing;
    const fields = { hostPort, guestPort, ...credit, op, flags, length, type: VSOCK_TYPE_STREAM };
    if (!this.#send(queue, chain, fields)) return false;
    connection.sent(outgoing, length);
    if (connection.isOver) this.#work(connection);
    return true;
  }

  /** Puts a header, and the data that is behind it in `#packet`, into a buffer of the guest's. */
  #send(
    queue: Virtqueue,
    chain: DescriptorChain,
    { hostPort, guestPort, ...header }:
      & Omit<
        VsockHeader,
        "sourceCid" | "destinationCid" | "sourcePort" | "destinationPort"
      >
      & { readonly hostPort: number; readonly guestPort: number },
  ): boolean {
    if (chain.writableBytes < HEADER_BYTES) {
      queue.reject(chain);
      return false;
    }
    encodeHeader({
      ...header,
      sourceCid: HOST_CID,
      destinationCid: this.#guestCid,
      sourcePort: hostPort,
      destinationPort: guestPort,
    }, this.#packet);
    const bytes = HEADER_BYTES + header.length;
    chain.write(0, this.#packet.subarray(0, bytes));
    queue.push(chain, bytes);
    return true;
  }

  #serveEvents(queue: Virtqueue): void {
    if (!this.#mustTellReset) return;
    const chain = queue.pop();
    if (chain === undefined) return;
    this.#mustTellReset = false;
    const event = new Uint8Array(4);
    new DataView(event.buffer).setUint32(0, EVENT_TRANSPORT_RESET, true);
    queue.push(chain, chain.write(0, event));
  }
}

const key = (hostPort: number, guestPort: number): string => `${hostPort}:${guestPort}`;
