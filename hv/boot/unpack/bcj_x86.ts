/**
 * The x86 branch filter of XZ, backwards: turns the absolute targets of CALL (E8h) and JMP (E9h)
 * into relative ones again.
 *
 * Reference: .xz file format 1.2, 5.3.2; behaviour of the filter as in XZ Utils and Linux. It is
 * meant to leave alone what only looks like a branch: a target counts when its top byte is 00h or
 * FFh, and opcode bytes among the last three, kept as a history of three bits, make it doubt.
 */

const isExtension = (byte: number): boolean => byte === 0x00 || byte === 0xff;

/** Bytes of the target that the youngest doubtful opcode leaves uncertain, by history. */
const UNCERTAIN = [0, 1, 2, 2, 3, 3, 3, 3] as const;
/** Whether a branch can still be one, by history. */
const POSSIBLE = [true, true, true, false, true, false, false, false] as const;

/** Undoes the filter on a whole block, in place. */
export function unfilterX86(bytes: Uint8Array): void {
  const end = bytes.length - 4;
  let history = 0;
  let lastOpcode = -4;
  for (let at = 0; at < end; at++) {
    if ((bytes[at] & 0xfe) !== 0xe8) continue;
    const gap = at - lastOpcode;
    lastOpcode = at;
    history = gap > 3 ? 0 : (history << (gap - 1)) & 7;
    const doubtful = history !== 0 &&
      (!POSSIBLE[history] || isExtension(bytes[at + 4 - UNCERTAIN[history]]));
    if (doubtful || !isExtension(bytes[at + 4])) {
      history = (history << 1) | 1;
      continue;
    }
    const target = bytes[at + 1] | (bytes[at + 2] << 8) | (bytes[at + 3] << 16) |
      (bytes[at + 4] << 24);
    const relative = relativeTarget(target, at + 5, history);
    bytes[at + 1] = relative;
    bytes[at + 2] = relative >> 8;
    bytes[at + 3] = relative >> 16;
    // Bit 24 is the sign of the 25-bit displacement that the filter works with.
    bytes[at + 4] = (relative & 0x100_0000) !== 0 ? 0xff : 0x00;
    at += 4;
  }
}

/** The displacement whose encoding, which avoids looking like a further branch, is `target`. */
function relativeTarget(target: number, next: number, history: number): number {
  let relative = (target - next) | 0;
  if (history === 0) return relative;
  const bits = UNCERTAIN[history] * 8;
  // One more round always suffices; the bound is for damaged data.
  for (let i = 0; i < 4 && isExtension((relative >>> (24 - bits)) & 0xff); i++) {
    const inverted = relative ^ (2 ** (32 - bits) - 1);
    relative = (inverted - next) | 0;
  }
  return relative;
}
