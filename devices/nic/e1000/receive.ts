/**
 * The card's receiver: which frames are for the guest, and how they go into its buffers.
 *
 * Left out: splitting of headers (RFCTL), the frame check sequence, for which zeros are stored.
 *
 * Threats: as for the transmitter; a buffer that is no memory swallows its part of the frame.
 *
 * Reference: 317453-006, 3.2 (receive), 13.4.22 (RCTL), 13.5 (filters).
 */

import { copyBuffer } from "../../../hv/core/memory/copy_buffer.ts";
import type { GuestMemory } from "../../../hv/core/memory/guest_memory.ts";
import { type Frame, MAX_FRAME_BYTES, MIN_FRAME_BYTES } from "../../../hv/core/net/network.ts";
import {
  CTRL_VME,
  FCS_BYTES,
  RAH_AV,
  RCTL_BAM,
  RCTL_EN,
  RCTL_LPE,
  RCTL_MPE,
  RCTL_SECRC,
  RCTL_UPE,
  RCTL_VFE,
  RECEIVE_ADDRESSES,
  Reg,
  Rstatus,
} from "./registers.ts";
import { DescriptorRing, type E1000State, indexOf, le64 } from "./state.ts";

/** BSIZE, and with BSEX sixteen times as much. */
const BUFFER_BYTES = [2048, 1024, 512, 256];
/** Frames without RCTL.LPE: 1518 bytes with their check sequence, 1522 with a tag. */
const LONGEST_BYTES = 1514;
const VLAN_BYTES = 4;
/** The frame check sequence that is stored. */
const NO_CHECK = new Uint8Array(FCS_BYTES);
/** RXCSUM: look at the IP, at the TCP or UDP checksum. */
const IPOFL = 0x100;
const TUOFL = 0x200;

/** See above. */
export class E1000Receiver {
  readonly #state: E1000State;
  readonly #memory: GuestMemory;
  readonly #ring: DescriptorRing;
  #bytes: Uint8Array | undefined;

  constructor(state: E1000State, memory: GuestMemory) {
    this.#state = state;
    this.#memory = memory;
    this.#ring = new DescriptorRing(state.registers, Reg.RDBAL, memory);
  }

  get isEnabled(): boolean {
    return (this.#rctl & RCTL_EN) !== 0;
  }

  /** Are as few descriptors left as RDMTS says: half, a quarter, an eighth of the ring? */
  get isLow(): boolean {
    const part = 2 << ((this.#rctl >>> 8) & 3);
    return this.#ring.available <= this.#ring.count / part;
  }

  /** Stores a frame that is for the guest; false when there are too few descriptors. */
  store({ bytes, offload }: Frame): boolean {
    const tag = this.#isTagged(bytes) ? bytes[14] << 8 | bytes[15] : -1;
    const strip = tag >= 0 && (this.#registers[indexOf(Reg.CTRL)] & CTRL_VME) !== 0;
    const data = strip ? this.#withoutTag(bytes) : bytes;
    const check = (this.#rctl & RCTL_SECRC) !== 0 ? 0 : FCS_BYTES;
    const total = data.length + check;
    const bufferBytes = BUFFER_BYTES[(this.#rctl >>> 16) & 3] *
      ((this.#rctl & 0x0200_0000) !== 0 ? 16 : 1);
    const needed = Math.ceil(total / bufferBytes);
    const ring = this.#ring;
    if (ring.available < needed) return false;
    const status = Rstatus.DD | (strip ? Rstatus.VP : 0) |
      (offload.isValid ? this.#checksumStatus(data) : Rstatus.IXSM);
    for (let i = 0; i < needed; i++) {
      const index = ring.head;
      const start = i * bufferBytes;
      const length = Math.min(bufferBytes, total - start);
      const descriptor = ring.view(index);
      if (descriptor !== undefined) {
        const address = le64(descriptor, 0);
        const part = Math.max(0, Math.min(length, data.length - start));
        this.#memory.copyIn(address, part, data, start);
        this.#memory.copyIn(address + part, length - part, NO_CHECK, 0);
        descriptor[8] = length;
        descriptor[9] = length >> 8;
        descriptor[10] = descriptor[11] = descriptor[13] = 0;
        descriptor[14] = strip ? tag : 0;
        descriptor[15] = strip ? tag >> 8 : 0;
        // The status last: a driver on another processor waits for DD.
        descriptor[12] = status | (i === needed - 1 ? Rstatus.EOP : 0);
      }
      ring.head = (index + 1) % ring.count;
    }
    return true;
  }

  /** Is a frame for this card, by its length and addresses? */
  accepts(bytes: Uint8Array): boolean {
    if (bytes.length < MIN_FRAME_BYTES) return false;
    const isTagged = this.#isTagged(bytes);
    const longest = (this.#rctl & RCTL_LPE) !== 0
      ? MAX_FRAME_BYTES
      : LONGEST_BYTES + (isTagged ? VLAN_BYTES : 0);
    if (bytes.length > longest) return false;
    if (isTagged && (this.#rctl & RCTL_VFE) !== 0) {
      const id = (bytes[14] & 15) << 8 | bytes[15];
      const word = this.#registers[indexOf(Reg.VFTA) + (id >> 5)];
      if (((word >>> (id & 31)) & 1) === 0) return false;
    }
    const isMulticast = (bytes[0] & 1) !== 0;
    if (isMulticast) {
      const isBroadcast = bytes.subarray(0, 6).every((byte) => byte === 0xff);
      if (isBroadcast && (this.#rctl & RCTL_BAM) !== 0) return true;
      if ((this.#rctl & RCTL_MPE) !== 0 || this.#isInTable(bytes)) return true;
    } else if ((this.#rctl & RCTL_UPE) !== 0) return true;
    return this.#isOurs(bytes);
  }

  get #rctl(): number {
    return this.#state.registers[indexOf(Reg.RCTL)];
  }

  get #registers(): Uint32Array {
    return this.#state.registers;
  }

  #isTagged(bytes: Uint8Array): boolean {
    return bytes.length >= MIN_FRAME_BYTES + VLAN_BYTES &&
      (bytes[12] << 8 | bytes[13]) === this.#registers[indexOf(Reg.VET)];
  }

  #withoutTag(bytes: Uint8Array): Uint8Array {
    const out = this.#bytes ??= copyBuffer(MAX_FRAME_BYTES);
    out.set(bytes.subarray(0, 12));
    out.set(bytes.subarray(16), 12);
    return out.subarray(0, bytes.length - VLAN_BYTES);
  }

  /** One of the addresses in RAL and RAH? */
  #isOurs(bytes: Uint8Array): boolean {
    const low = (bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24) >>> 0;
    const high = bytes[4] | bytes[5] << 8;
    for (let i = 0; i < RECEIVE_ADDRESSES; i++) {
      const rah = this.#registers[indexOf(Reg.RAH) + i * 2];
      if ((rah & RAH_AV) === 0 || (rah & 0xffff) !== high) continue;
      if (this.#registers[indexOf(Reg.RAL) + i * 2] === low) return true;
    }
    return false;
  }

  /** The multicast table: a bit by 12 bits of the address, which RCTL.MO selects (13.5.1). */
  #isInTable(bytes: Uint8Array): boolean {
    const shift = [4, 3, 2, 0][(this.#rctl >>> 12) & 3];
    const hash = ((bytes[5] << 8 | bytes[4]) >>> shift) & 0xfff;
    return ((this.#registers[indexOf(Reg.MTA) + (hash >> 5)] >>> (hash & 31)) & 1) !== 0;
  }

  /** Which checksums the card says that it has found right: those of whole packets of IPv4. */
  #checksumStatus(data: Uint8Array): number {
    const rxcsum = this.#registers[indexOf(Reg.RXCSUM)];
    const isIpv4 = data.length >= 34 && data[12] === 8 && data[13] === 0 && data[14] === 0x45;
    if (!isIpv4) return Rstatus.IXSM;
    const isPart = ((data[20] & 0x3f) | data[21]) !== 0;
    const isKnown = data[23] === 6 || data[23] === 17;
    const ip = (rxcsum & IPOFL) !== 0 ? Rstatus.IPCS : 0;
    const transport = (rxcsum & TUOFL) !== 0 && isKnown && !isPart ? Rstatus.TCPCS : 0;
    return (ip | transport) || Rstatus.IXSM;
  }
}
