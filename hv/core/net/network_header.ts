/**
 * The header that Virtio and the kernel's TAP interfaces put in front of a frame: `struct
 * virtio_net_hdr` with the count of buffers, 12 bytes, little-endian (Virtio 1.3, 5.1.6).
 */

import { type Offload, PLAIN } from "./network.ts";

/** Bytes of the header. */
export const NETWORK_HEADER_BYTES = 12;
const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
/** The sender has marked congestion: to be kept by segmentation, which it is by copying the header. */
const GSO_ECN = 0x80;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;

/** Ethernet type of a frame, that behind a VLAN tag if there is one. */
export function etherTypeOf(frame: Uint8Array): number {
  const type = frame[12] << 8 | frame[13];
  return type === ETHERTYPE_VLAN ? frame[16] << 8 | frame[17] : type;
}

/**
 * Writes the header for a frame into the first bytes of `into`.
 *
 * @param tellsValid May it say that the checksums are right?
 */
export function encodeNetworkHeader(
  into: Uint8Array,
  frame: Uint8Array,
  offload: Offload,
  tellsValid = true,
): void {
  const { needsChecksum, isValid, segmentBytes, headerBytes } = offload;
  into.fill(0, 0, NETWORK_HEADER_BYTES);
  into[0] = needsChecksum ? NEEDS_CSUM : isValid && tellsValid ? DATA_VALID : 0;
  if (segmentBytes > 0) {
    into[1] = etherTypeOf(frame) === ETHERTYPE_IPV6 ? GSO_TCPV6 : GSO_TCPV4;
    put16(into, 2, headerBytes);
    put16(into, 4, segmentBytes);
  }
  if (needsChecksum) {
    put16(into, 6, offload.checksumStart);
    put16(into, 8, offload.checksumOffset);
  }
  into[10] = 1;
}

/**
 * What a header says of its frame of `length` bytes. Hostile ones are harmless: what does not fit the
 * frame is taken for nothing said. Undefined for a kind of segmentation that nobody was offered.
 */
export function decodeNetworkHeader(header: Uint8Array, length: number): Offload | undefined {
  const get16 = (at: number) => header[at] | header[at + 1] << 8;
  const kind = header[1] & ~GSO_ECN;
  if (kind !== GSO_NONE && kind !== GSO_TCPV4 && kind !== GSO_TCPV6) return undefined;
  const checksumStart = get16(6);
  const checksumOffset = get16(8);
  const needsChecksum = (header[0] & NEEDS_CSUM) !== 0;
  if (needsChecksum && checksumStart + checksumOffset + 2 > length) return undefined;
  const isValid = (header[0] & DATA_VALID) !== 0;
  const segmentBytes = get16(4);
  if (kind === GSO_NONE) {
    if (!needsChecksum) return isValid ? { ...PLAIN, isValid } : PLAIN;
    return { ...PLAIN, needsChecksum, checksumStart, checksumOffset };
  }
  // Segments have a TCP header each: there is no segmentation without its checksum.
  if (!needsChecksum || segmentBytes === 0) return undefined;
  return {
    needsChecksum,
    checksumStart,
    checksumOffset,
    isValid: false,
    segmentBytes,
    headerBytes: get16(2),
  };
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
}
