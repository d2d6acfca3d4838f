/** Which frames a DP8390 receives (data sheet, "Address Recognition Logic"). */

import { MIN_FRAME_BYTES } from "../../../hv/core/net/network.ts";
import { type Dp8390State, Rcr } from "./dp8390_state.ts";

/** Does RCR want a frame with this destination? */
export function isForCard({ rcr, par, mar }: Dp8390State, frame: Uint8Array): boolean {
  if (frame.length < MIN_FRAME_BYTES) return false;
  if ((frame[0] & 1) === 0) {
    if ((rcr & Rcr.PRO) !== 0) return true;
    for (let i = 0; i < 6; i++) if (frame[i] !== par[i]) return false;
    return true;
  }
  let isBroadcast = true;
  for (let i = 0; i < 6; i++) if (frame[i] !== 0xff) isBroadcast = false;
  if (isBroadcast) return (rcr & Rcr.AB) !== 0;
  if ((rcr & Rcr.AM) === 0) return false;
  const hash = groupHash(frame);
  return (rcr & Rcr.PRO) !== 0 || (mar[hash >> 3] >> (hash & 7) & 1) !== 0;
}

/** Number of a group address among the 64 of the hash table: the first six bits of its CRC-32. */
function groupHash(address: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < 6; i++) {
    for (let bit = 0; bit < 8; bit++) {
      const carry = (crc >>> 31) ^ (address[i] >> bit & 1);
      crc = crc << 1 ^ (carry !== 0 ? 0x04c1_1db7 : 0);
    }
  }
  return crc >>> 26;
}
