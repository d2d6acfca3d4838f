/**
 * Does what was left to be done of a frame, for a receiver to whom it may not be left: puts checksums
 * in and cuts TCP into segments.
 *
 * Threats: frames and what is said of them are the guest's or a peer's; what does not fit together is
 * dropped.
 *
 * References: RFC 9293 (TCP), RFC 791, RFC 8200; Virtio 1.3, 5.1.6.2.
 */

import { addToSum, checksumOf, foldSum } from "../../hv/core/net/checksum.ts";
import {
  type Frame,
  MAX_FRAME_BYTES,
  type Offload,
  type Offloads,
  PLAIN,
  VALID,
} from "../../hv/core/net/network.ts";
import { etherTypeOf } from "../../hv/core/net/network_header.ts";

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;
/** A segment below this is no sender's wish: one frame would become thousands. */
const SMALLEST_SEGMENT = 128;
/** Headers that IP and TCP with all their options can have, and more. */
const LONGEST_HEADERS = 256;
/** Segments that one frame becomes at most. */
export const MAX_SEGMENTS: number = Math.ceil(MAX_FRAME_BYTES / SMALLEST_SEGMENT);
/** Bytes of all of them together, at most. */
export const MAX_CUT_BYTES: number = MAX_FRAME_BYTES + MAX_SEGMENTS * LONGEST_HEADERS;

const scratch = new Uint8Array(MAX_FRAME_BYTES);

/** May everything that is left to do of the frame be left to somebody who takes `offloads`? */
export function isLeftTo(offloads: Offloads, { bytes, offload }: Frame): boolean {
  if (offload.segmentBytes > 0) {
    return etherTypeOf(bytes) === ETHERTYPE_IPV6 ? offloads.tcp6 : offloads.tcp4;
  }
  return !offload.needsChecksum || offloads.checksum;
}

/** Gives `emit` the frame such that it may be left to somebody who takes `offloads`. */
export function finishFrame(
  frame: Frame,
  offloads: Offloads,
  emit: (frame: Frame) => void,
): void {
  if (isLeftTo(offloads, frame)) return emit(frame);
  if (frame.offload.segmentBytes > 0) cut(frame, emit);
  else emit({ bytes: withChecksum(frame), offload: VALID });
}

/** The frame with its checksum, in `scratch`. */
function withChecksum({ bytes, offload }: Frame): Uint8Array {
  scratch.set(bytes);
  const out = scratch.subarray(0, bytes.length);
  putChecksum(out, offload);
  return out;
}

function putChecksum(bytes: Uint8Array, { checksumStart, checksumOffset }: Offload): void {
  const at = checksumStart + checksumOffset;
  const sum = checksumOf(addToSum(bytes, checksumStart, bytes.length));
  // A UDP checksum of zero would mean that there is none (RFC 768).
  put16(bytes, at, sum === 0 && checksumOffset === 6 ? 0xffff : sum);
}

function cut({ bytes, offload }: Frame, emit: (frame: Frame) => void): void {
  const tcp = offload.checksumStart;
  const isIpv6 = etherTypeOf(bytes) === ETHERTYPE_IPV6;
  const ip = (bytes[12] << 8 | bytes[13]) === 0x8100 ? 18 : 14;
  const isIp = isIpv6 || etherTypeOf(bytes) === ETHERTYPE_IPV4;
  const headers = tcp + (bytes[tcp + 12] >> 4) * 4;
  const fits = isIp && offload.checksumOffset === 16 && tcp >= ip + (isIpv6 ? 40 : 20) &&
    headers >= tcp + 20 && headers <= Math.min(bytes.length, LONGEST_HEADERS) &&
    offload.segmentBytes >= SMALLEST_SEGMENT;
  if (!fits) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sequence = view.getUint32(tcp + 4);
  const flags = bytes[tcp + 13];
  const identification = view.getUint16(ip + 4);
  // The field holds the pseudo-header's sum with the length of the whole: taken out here.
  const pseudo = view.getUint16(tcp + 16) + 0xffff - foldSum(bytes.length - tcp);
  const payload = bytes.length - headers;
  const out = new DataView(scratch.buffer);
  for (let done = 0, i = 0; done < payload || i === 0; i++) {
    const length = Math.min(offload.segmentBytes, payload - done);
    const isLast = done + length >= payload;
    scratch.set(bytes.subarray(0, headers));
    scratch.set(bytes.subarray(headers + done, headers + done + length), headers);
    const end = headers + length;
    if (isIpv6) out.setUint16(ip + 4, end - ip - 40);
    else {
      out.setUint16(ip + 2, end - ip);
      out.setUint16(ip + 4, identification + i);
      out.setUint16(ip + 10, 0);
      out.setUint16(ip + 10, checksumOf(addToSum(scratch, ip, ip + (bytes[ip] & 15) * 4)));
    }
    out.setUint32(tcp + 4, sequence + done);
    scratch[tcp + 13] = flags & ~((isLast ? 0 : FIN | PSH) | (i === 0 ? 0 : CWR));
    out.setUint16(tcp + 16, foldSum(pseudo + end - tcp));
    const segment = scratch.subarray(0, end);
    putChecksum(segment, offload);
    emit({ bytes: segment, offload: VALID });
    done += length;
  }
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

/** A frame to which nothing is left to do, and of which nothing is known. */
export const plainFrame = (bytes: Uint8Array): Frame => ({ bytes, offload: PLAIN });
