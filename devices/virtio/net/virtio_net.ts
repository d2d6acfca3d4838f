/**
 * Virtio network card: frames with a header that says what is left to do of them, so that checksums and
 * segmentation are done once, by whoever has to, or never.
 *
 * On the I/O worker `fetch` and `receive` take from the queues and put into them, at the turn of the
 * card's network link (hv/core/net/network.ts).
 *
 * Left out: UDP fragmentation and segmentation, RSS and hash reports, notifications coalescing,
 * announcements.
 *
 * Threats: everything in a frame and its header (`decodeNetworkHeader`), commands of any length; chains
 * have been checked. What cannot be a frame is lost, as on a wire.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 5.1 "Network Device".
 */

import { copyBuffer } from "../../../hv/core/memory/copy_buffer.ts";
import {
  type Frame,
  LOST,
  MAX_FRAME_BYTES,
  MIN_FRAME_BYTES,
  type NetworkCard,
  type Offloads,
  type Unplugged,
  unpluggedAfter,
} from "../../../hv/core/net/network.ts";
import {
  decodeNetworkHeader,
  encodeNetworkHeader,
  NETWORK_HEADER_BYTES,
} from "../../../hv/core/net/network_header.ts";
import { bytesOf } from "../../../hv/core/state/record.ts";
import type { DescriptorChain } from "../queue/descriptor_chain.ts";
import { type VirtioDevice, type VirtioDeviceCore, VirtioDeviceId } from "../virtio_device.ts";
import { control, isForDriver, MAX_COMMAND_BYTES } from "./control.ts";
import {
  CONFIG_MTU,
  CONFIG_PAIRS,
  CONFIG_STATUS,
  FLOWS,
  NetFeature,
  Receive,
  STATUS_LINK_UP,
  type VirtioNetState,
} from "./state.ts";
import type { Virtqueue } from "../queue/virtqueue.ts";

export { VirtioNetState } from "./state.ts";

const QUEUE_SIZE = 256;
const CONTROL_SIZE = 64;
/** The header of a driver that knows neither version 1 nor mergeable buffers: without their count. */
const LEGACY_HEADER_BYTES = 10;
/** Buffers that one frame is spread over at most: the smallest that are any use have 256 bytes. */
const MAX_BUFFERS = 256;
/** Where the number of buffers stands in the header. */
const NUM_BUFFERS = 10;
const OK = 0;
const ERR = 1;

/** What the card is told. */
export interface VirtioNetOptions {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Queue pairs at most, 1 to 8. */
  readonly pairs: number;
  /** Longest packet that the other end takes, bytes; undefined: the driver is told nothing. */
  readonly mtu?: number;
}

/** See above. */
export class VirtioNet implements VirtioDevice, NetworkCard {
  readonly id = VirtioDeviceId.net;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #state: VirtioNetState;
  readonly #options: VirtioNetOptions;
  #core: VirtioDeviceCore | undefined;
  #sent: Uint8Array | undefined;
  readonly #header = new Uint8Array(NETWORK_HEADER_BYTES);

  constructor(state: VirtioNetState, options: VirtioNetOptions) {
    this.#state = state;
    this.#options = options;
    this.config = state.config;
    const { pairs, mtu } = options;
    const { MQ, MTU, VERSION_1: _, ...others } = NetFeature;
    this.features = [
      ...Object.values(others),
      ...(pairs > 1 ? [MQ] : []),
      ...(mtu === undefined ? [] : [MTU]),
    ];
    this.queueSizes = [...new Array(pairs * 2).fill(QUEUE_SIZE), CONTROL_SIZE];
  }

  connect(core: VirtioDeviceCore): void {
    this.#core = core;
  }

  /** Power-on; the cable stays as it is. */
  reset(): void {
    const s = this.#state;
    const { unplugged } = s;
    bytesOf(s).fill(0);
    s.unplugged = unplugged;
    s.config.set(this.#options.mac);
    s.config[CONFIG_STATUS] = unplugged !== 0 ? 0 : STATUS_LINK_UP;
    const { pairs, mtu = 0 } = this.#options;
    s.config[CONFIG_PAIRS] = pairs;
    s.config[CONFIG_MTU] = mtu;
    s.config[CONFIG_MTU + 1] = mtu >> 8;
    s.receive = Receive.PROMISC;
    s.pairs = 1;
  }

  negotiated(accepted: (bit: number) => boolean): void {
    const s = this.#state;
    s.features = 0;
    for (const bit of this.features) if (accepted(bit)) s.features |= 1 << bit;
    s.guestOffloads = s.features;
    s.isModern = accepted(NetFeature.VERSION_1);
  }

  serve(queue: Virtqueue): void {
    if (queue.index === this.#controlIndex) this.#serveControl(queue);
    // The others' work is done at the turn of the card's link, which follows.
  }

  get offloads(): Offloads {
    const has = (feature: number) => (this.#state.guestOffloads >>> feature & 1) !== 0;
    const checksum = this.#takesChecksums;
    // Segments are checked sums, and large ones need room (5.1.3.1).
    return {
      checksum,
      tcp4: checksum && has(NetFeature.GUEST_TSO4),
      tcp6: checksum && has(NetFeature.GUEST_TSO6),
    };
  }

  setLink(isUp: boolean, who: Unplugged): void {
    const s = this.#state;
    const core = this.#core;
    core?.lock.with(() => {
      const before = s.unplugged !== 0;
      s.unplugged = unpluggedAfter(s.unplugged, isUp, who);
      const isUnplugged = s.unplugged !== 0;
      if (isUnplugged === before) return;
      s.config[CONFIG_STATUS] = isUnplugged ? 0 : STATUS_LINK_UP;
      core.configChanged();
    });
  }

  // --- from the driver -------------------------------------------------------------------------

  fetch(): Frame | undefined {
    const s = this.#state;
    const { pairs } = s;
    for (let tried = 0; tried < pairs; tried++) {
      const pair = (s.nextPair + tried) % pairs;
      const queue = this.#core?.queues[pair * 2 + 1];
      const frame = queue && this.#fetchFrom(queue);
      if (frame === undefined) continue;
      s.nextPair = pair + 1;
      if (pairs > 1 && frame !== LOST) s.flows[flowOf(frame.bytes)] = pair;
      return frame;
    }
    return undefined;
  }

  #fetchFrom(queue: Virtqueue): Frame | undefined {
    queue.beginTurn();
    return queue.together(() => {
      const chain = queue.pop();
      if (chain !== undefined) {
        const frame = this.#state.unplugged !== 0 ? undefined : this.#frameOf(chain);
        queue.push(chain, 0);
        return frame ?? LOST;
      }
      // What is left when the thread is wanted elsewhere: its driver has not been asked to notify.
      if (queue.turnIsOver) this.#core?.revisit(queue.index);
      return undefined;
    });
  }

  /** Nobody waits for a frame to be gone before the last one is. */
  endFetching(): void {
    const { pairs } = this.#state;
    for (let pair = 0; pair < pairs; pair++) this.#core?.queues[pair * 2 + 1].signal();
  }

  #frameOf(chain: DescriptorChain): Frame | undefined {
    const header = this.#headerBytes;
    const length = chain.readableBytes - header;
    if (length < MIN_FRAME_BYTES || length > MAX_FRAME_BYTES) return undefined;
    const sent = this.#sent ??= copyBuffer(NETWORK_HEADER_BYTES + MAX_FRAME_BYTES);
    chain.read(0, sent, 0, header + length);
    const offload = decodeNetworkHeader(sent, length);
    return offload && { bytes: sent.subarray(header, header + length), offload };
  }

  // --- for the driver --------------------------------------------------------------------------

  receive(frame: Frame): boolean {
    const s = this.#state;
    const { bytes, offload } = frame;
    const isPossible = s.unplugged === 0 && bytes.length >= MIN_FRAME_BYTES &&
      bytes.length <= MAX_FRAME_BYTES && isForDriver(s, bytes) &&
      (!offload.needsChecksum || this.#takesChecksums);
    if (!isPossible) return true;
    const pair = s.pairs > 1 ? s.flows[flowOf(bytes)] % s.pairs : 0;
    const queue = this.#core?.queues[pair * 2];
    if (queue === undefined) return true;
    queue.beginTurn();
    return queue.together(() => {
      const chains = this.#takeBuffers(queue, this.#headerBytes + bytes.length);
      // Before there is a driver, nobody receives anything.
      if (chains === undefined) return !queue.isUsable;
      this.#store(queue, chains, frame);
      return true;
    });
  }

  /** Buffers with room for so many bytes; none: there is not enough, or never will be. */
  #takeBuffers(queue: Virtqueue, bytes: number): readonly DescriptorChain[] | undefined {
    const chains: DescriptorChain[] = [];
    const most = this.#isMerging ? MAX_BUFFERS : 1;
    let room = 0;
    while (room < bytes) {
      const chain = chains.length < most ? queue.pop() : undefined;
      if (chain === undefined) break;
      chains.push(chain);
      room += chain.writableBytes;
    }
    if (room >= bytes) return chains;
    const isHopeless = chains.length === most;
    // A frame that fits into no buffer is lost, and its buffer not used (5.1.6.4.2).
    for (let i = chains.length - 1; i >= 0; i--) queue.putBack(chains[i]);
    return isHopeless ? [] : undefined;
  }

  #store(queue: Virtqueue, chains: readonly DescriptorChain[], { bytes, offload }: Frame): void {
    if (chains.length === 0) return;
    const header = this.#header;
    encodeNetworkHeader(header, bytes, offload, this.#takesChecksums);
    header[NUM_BUFFERS] = chains.length;
    header[NUM_BUFFERS + 1] = chains.length >> 8;
    let headerBytes = this.#headerBytes;
    let done = 0;
    for (const chain of chains) {
      // The header is never split: the first buffer has room for it or the frame is lost.
      const start = chain.write(0, header, 0, headerBytes);
      const part = chain.write(start, bytes, done);
      headerBytes = 0;
      done += part;
      // Whoever sees the first expects the others (5.1.6.4).
      queue.pushLater(chain, start + part);
    }
    queue.signal();
  }

  // --- control ---------------------------------------------------------------------------------

  #serveControl(queue: Virtqueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (chain.readableBytes < 2 || chain.writableBytes < 1) {
        queue.reject(chain);
        continue;
      }
      const command = new Uint8Array(Math.min(chain.readableBytes, MAX_COMMAND_BYTES));
      chain.read(0, command);
      const isDone = control(this.#state, this.#options.pairs, command);
      queue.push(chain, chain.write(0, Uint8Array.of(isDone ? OK : ERR)));
    }
  }

  /** Behind all pairs, or behind the first for a driver without MQ (5.1.2). */
  get #controlIndex(): number {
    return (this.#state.features >>> NetFeature.MQ & 1) !== 0 ? this.#options.pairs * 2 : 2;
  }

  /** Does the driver take what has no checksum yet, or one that is known to be right? */
  get #takesChecksums(): boolean {
    return (this.#state.guestOffloads >>> NetFeature.GUEST_CSUM & 1) !== 0;
  }

  get #isMerging(): boolean {
    return (this.#state.features >>> NetFeature.MRG_RXBUF & 1) !== 0;
  }

  get #headerBytes(): number {
    return this.#state.isModern || this.#isMerging ? NETWORK_HEADER_BYTES : LEGACY_HEADER_BYTES;
  }
}

/** The same number for both directions of a conversation over IP. */
function flowOf(frame: Uint8Array): number {
  const isIpv4 = frame[12] === 8 && frame[13] === 0;
  const start = isIpv4 ? 26 : 22;
  // Addresses of both sides, and the ports behind them where there are no options.
  const end = Math.min(frame.length, isIpv4 ? 38 : 58);
  let hash = 0;
  for (let i = start; i < end; i += 2) hash = (hash + (frame[i] << 8 | frame[i + 1])) & 0xffff;
  return (hash ^ hash >> 8) & (FLOWS - 1);
}
