/**
 * The card's transmitter: from descriptors to a frame, with the checksums and the segmentation that
 * the driver has left to it.
 *
 * A packet is taken once its last descriptor is there. What is to be cut into segments goes to the host
 * end uncut.
 *
 * Threats: descriptors and data are the guest's. Every address goes through `GuestMemory`; a packet
 * longer than the longest frame, or of more descriptors than any driver needs, is dropped.
 *
 * Reference: 317453-006, 3.3 (descriptors), 3.4 (transmit), 3.5 (segmentation), 3.6 (checksums).
 */

import { addToSum, checksumOf, foldSum } from "../../../hv/core/net/checksum.ts";
import { copyBuffer } from "../../../hv/core/memory/copy_buffer.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import {
  type Frame,
  LOST,
  MAX_FRAME_BYTES,
  MIN_FRAME_BYTES,
  PLAIN,
} from "../../../hv/core/net/network.ts";
import {
  DD,
  POPTS_IXSM,
  POPTS_TXSM,
  Reg,
  Tcmd,
  TCTL_EN,
  TUCMD_IPV4,
  TUCMD_TCP,
} from "./registers.ts";
import { DescriptorRing, type E1000State, indexOf, le16, le32, le64 } from "./state.ts";

const VLAN_BYTES = 4;
/** Byte of a descriptor that holds its status. */
const STATUS_BYTE = 12;
/** Most descriptors of a packet: a ring has 65,528, and all of them could be one. */
const MAX_DESCRIPTORS = 256;
const CONTEXT = 0;
const DATA = 1;

/** What a packet's descriptors say of it. */
interface Packet {
  length: number;
  isTooLong: boolean;
  /** POPTS of the first data descriptor; -1: legacy. */
  options: number;
  /** CSO and CSS of a legacy descriptor that asks for a checksum. */
  legacyChecksum: { start: number; at: number } | undefined;
  isSegmented: boolean;
}

/** See above. */
export class E1000Transmitter {
  readonly #state: E1000State;
  readonly #memory: GuestMemory;
  readonly #ring: DescriptorRing;
  /** Room for the frame that is given out; only the I/O worker makes it. */
  #bytes: Uint8Array | undefined;

  constructor(state: E1000State, memory: GuestMemory) {
    this.#state = state;
    this.#memory = memory;
    this.#ring = new DescriptorRing(state.registers, Reg.TDBAL, memory);
  }

  /** May there be something to send? */
  get isReady(): boolean {
    return (this.#state.registers[indexOf(Reg.TCTL)] & TCTL_EN) !== 0 && this.#ring.available > 0;
  }

  /** Is everything sent? */
  get isEmpty(): boolean {
    return this.#ring.available === 0;
  }

  /**
   * Takes the next packet's descriptors.
   *
   * @param written Called when one of them was to be written back.
   * @returns Its frame, `LOST` for what could not be sent; undefined when there is none yet.
   */
  take(written: () => void): Frame | undefined {
    const count = this.#packetDescriptors();
    if (count === 0) return undefined;
    const ring = this.#ring;
    const packet: Packet = {
      length: 0,
      isTooLong: count > MAX_DESCRIPTORS,
      options: 0,
      legacyChecksum: undefined,
      isSegmented: false,
    };
    let tag = -1;
    for (let i = 0; i < Math.min(count, MAX_DESCRIPTORS); i++) {
      const index = ring.head;
      const descriptor = ring.view(index);
      ring.head = (index + 1) % ring.count;
      if (descriptor === undefined) continue;
      const command = descriptor[11];
      const type = (command & Tcmd.DEXT) === 0 ? -1 : descriptor[10] >> 4;
      if (type === CONTEXT) this.#setContext(descriptor);
      else {
        this.#append(packet, descriptor, type === DATA);
        if ((command & Tcmd.VLE) !== 0) tag = le16(descriptor, 14);
      }
      if ((command & Tcmd.RS) !== 0) {
        descriptor[STATUS_BYTE] |= DD;
        written();
      }
    }
    if (packet.isTooLong || packet.length < MIN_FRAME_BYTES) return LOST;
    return this.#finish(packet, tag);
  }

  /** Descriptors up to the next end of a packet, or too many; 0 when that is not there yet. */
  #packetDescriptors(): number {
    if (!this.isReady) return 0;
    const ring = this.#ring;
    const { head, count, available } = ring;
    for (let i = 0; i < available; i++) {
      if (i === MAX_DESCRIPTORS) return i + 1;
      const descriptor = ring.view((head + i) % count);
      // No memory, or a context, which has no end: a driver may leave it alone at first.
      if (descriptor === undefined) return i + 1;
      const command = descriptor[11];
      const isContext = (command & Tcmd.DEXT) !== 0 && descriptor[10] >> 4 === CONTEXT;
      if (!isContext && (command & Tcmd.EOP) !== 0) return i + 1;
    }
    return 0;
  }

  #setContext(descriptor: Uint8Array): void {
    for (let i = 0; i < 4; i++) this.#state.context[i] = le32(descriptor, i * 4);
  }

  #append(packet: Packet, descriptor: Uint8Array, isData: boolean): void {
    const command = descriptor[11];
    const isFirst = packet.length === 0;
    const length = isData ? le32(descriptor, 8) & 0xf_ffff : le16(descriptor, 8);
    if (isData && isFirst) {
      packet.options = descriptor[13];
      packet.isSegmented = (command & Tcmd.TSE) !== 0;
    } else if (!isData && (command & Tcmd.IC) !== 0) {
      packet.legacyChecksum = { start: descriptor[13], at: descriptor[10] };
    }
    if (length === 0) return;
    const bytes = this.#bytes ??= copyBuffer(MAX_FRAME_BYTES);
    if (packet.length + length > bytes.length - VLAN_BYTES) {
      packet.isTooLong = true;
      return;
    }
    const address = le64(descriptor, 0);
    const isRam = this.#memory.offsetOf(address, length) >= 0;
    if (isRam) this.#memory.copyOut(address, length, bytes, packet.length);
    else bytes.fill(0, packet.length, packet.length + length);
    packet.length += length;
  }

  /** Checksums, segmentation and tag. */
  #finish(packet: Packet, tag: number): Frame {
    const bytes = this.#bytes!;
    const { length, options, legacyChecksum } = packet;
    const [ip, transport, lengths] = this.#state.context;
    const ipStart = ip & 0xff;
    const checksumStart = transport & 0xff;
    const checksumAt = (transport >>> 8) & 0xff;
    const headerBytes = (this.#state.context[3] >>> 8) & 0xff;
    const segmentBytes = this.#state.context[3] >>> 16;
    const kind = lengths >>> 24;
    const isSegmented = packet.isSegmented && (kind & TUCMD_TCP) !== 0 && segmentBytes > 0 &&
      headerBytes > checksumStart + 18 && headerBytes < length;
    if (isSegmented) {
      this.#lengthen(length, { ipStart, checksumStart, checksumAt, kind });
    }
    if ((options & POPTS_IXSM) !== 0) sumUp(bytes, length, ip);
    let offload = PLAIN;
    if (legacyChecksum !== undefined) {
      offload = checksumFrom(legacyChecksum.start, legacyChecksum.at, length);
    } else if ((options & POPTS_TXSM) !== 0) {
      // An end of its own is rare: most checksums go up to the packet's end.
      if (transport >>> 16 !== 0 && !isSegmented) sumUp(bytes, length, transport);
      else offload = checksumFrom(checksumStart, checksumAt, length);
    }
    if (isSegmented && offload.needsChecksum) offload = { ...offload, segmentBytes, headerBytes };
    if (tag < 0) return { bytes: bytes.subarray(0, length), offload };
    bytes.copyWithin(12 + VLAN_BYTES, 12, length);
    const type = this.#state.registers[indexOf(Reg.VET)];
    bytes[12] = type >> 8;
    bytes[13] = type;
    bytes[14] = tag >> 8;
    bytes[15] = tag;
    if (offload.needsChecksum) {
      offload = {
        ...offload,
        checksumStart: offload.checksumStart + VLAN_BYTES,
        headerBytes: offload.segmentBytes > 0 ? offload.headerBytes + VLAN_BYTES : 0,
      };
    }
    return { bytes: bytes.subarray(0, length + VLAN_BYTES), offload };
  }

  /**
   * Drivers leave the lengths out of the headers of what is to be cut (3.5.6): the IP header's, and the
   * one in the pseudo-header that TCP's checksum begins with.
   */
  #lengthen(
    length: number,
    { ipStart, checksumStart, checksumAt, kind }: {
      ipStart: number;
      checksumStart: number;
      checksumAt: number;
      kind: number;
    },
  ): void {
    const bytes = this.#bytes!;
    if ((kind & TUCMD_IPV4) !== 0) put16(bytes, ipStart + 2, length - ipStart);
    else put16(bytes, ipStart + 4, length - ipStart - 40);
    const partial = bytes[checksumAt] << 8 | bytes[checksumAt + 1];
    put16(bytes, checksumAt, foldSum(partial + length - checksumStart));
  }
}

const put16 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
};

/** Puts in a checksum whose start, place and end a context descriptor has (CSS, CSO, CSE). */
function sumUp(bytes: Uint8Array, length: number, fields: number): void {
  const start = fields & 0xff;
  const at = (fields >>> 8) & 0xff;
  const end = (fields >>> 16) || length - 1;
  if (end >= length || start > end || at + 2 > length) return;
  // What the field holds counts: of TCP and UDP it is the pseudo-header's sum.
  put16(bytes, at, checksumOf(addToSum(bytes, start, end + 1)));
}

/** A checksum up to the packet's end, for the host end or whoever receives the frame. */
function checksumFrom(checksumStart: number, at: number, length: number) {
  const isPossible = at >= checksumStart && at + 2 <= length;
  return isPossible
    ? { ...PLAIN, needsChecksum: true, checksumStart, checksumOffset: at - checksumStart }
    : PLAIN;
}
