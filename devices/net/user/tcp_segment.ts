/** TCP segments (RFC 9293, 3.1) as the guest sends them; the options of RFC 7323 and RFC 9293, 3.2. */

import { get16, get32 } from "./ip.ts";

/** Control bits. */
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

/** Bytes of a header without options. */
export const TCP_BYTES = 20;

/** A segment, of which only views are kept. */
export interface Segment {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: number;
  /** As it is in the header, unscaled. */
  readonly window: number;
  readonly data: Uint8Array;
  /** The segment's options. */
  readonly options: Uint8Array;
}

/** The segment that a packet carries; undefined for a header that is none. */
export function readSegment(payload: Uint8Array): Segment | undefined {
  if (payload.length < TCP_BYTES) return undefined;
  const headerBytes = (payload[12] >> 4) * 4;
  if (headerBytes < TCP_BYTES || headerBytes > payload.length) return undefined;
  return {
    sourcePort: get16(payload, 0),
    destinationPort: get16(payload, 2),
    sequence: get32(payload, 4),
    acknowledged: get32(payload, 8),
    flags: payload[13] & 0x3f,
    window: get16(payload, 14),
    data: payload.subarray(headerBytes),
    options: payload.subarray(TCP_BYTES, headerBytes),
  };
}

/** What a SYN's options say. */
export interface SynOptions {
  /** Longest segment that the sender takes, bytes. */
  readonly mss: number;
  /** Shift of its windows; undefined when it does not scale any. */
  readonly windowScale: number | undefined;
}

/** Without options (RFC 9293, 3.7.1), and the least that anything is sent in. */
const DEFAULT_MSS = 536;
const LEAST_MSS = 64;
/** RFC 7323, 2.3. */
const MAX_SCALE = 14;

/** Reads a SYN's options; what is damaged ends the list. */
export function synOptions(options: Uint8Array): SynOptions {
  let mss = DEFAULT_MSS;
  let windowScale: number | undefined;
  for (let at = 0; at < options.length;) {
    const kind = options[at];
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = options[at + 1] ?? 0;
    if (length < 2 || at + length > options.length) break;
    if (kind === 2 && length === 4) mss = Math.max(LEAST_MSS, get16(options, at + 2));
    else if (kind === 3 && length === 3) windowScale = Math.min(MAX_SCALE, options[at + 2]);
    at += length;
  }
  return { mss, windowScale };
}

/** Difference of two sequence numbers, as far as they are less than 2^31 apart. */
export const distance = (from: number, to: number): number => (to - from) | 0;
