/**
 * What the BIOS puts into the 256 palette entries, computed rather than listed.
 *
 * Reference: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem", palette defaults.
 */

/**
 * `mono`: modes 7 and 0Fh; `cga`: the modes of 200 lines, bit 4 of the entry being intensity;
 * `ega`: 64 entries rgbRGB of two bits a colour; `vga`: mode 13h.
 */
export type PaletteKind = "mono" | "cga" | "ega" | "vga";

/** Levels of 6 bits: off, a third, two thirds, full. */
const LEVELS = [0x00, 0x15, 0x2a, 0x3f];

const ega = (n: number): number[] =>
  [2, 1, 0].map((bit) => LEVELS[((n >> bit) & 1) * 2 + ((n >> (bit + 3)) & 1)]);

/** The sixteen colours of the CGA: bit 3 brightens; dark yellow is brown. */
function cga(n: number): number[] {
  if (n === 6) return [0x2a, 0x15, 0x00];
  return [2, 1, 0].map((bit) => LEVELS[((n >> bit) & 1) * 2 + ((n >> 3) & 1)]);
}

const GREYS = [0, 5, 8, 11, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 63];

/** For each intensity and each saturation of mode 13h: the steps from the least to the most light. */
const RAMPS = [
  [[0, 16, 31, 47, 63], [31, 39, 47, 55, 63], [45, 49, 54, 58, 63]],
  [[0, 7, 14, 21, 28], [14, 17, 21, 24, 28], [20, 22, 24, 26, 28]],
  [[0, 4, 8, 12, 16], [8, 10, 12, 14, 16], [11, 12, 13, 15, 16]],
];

/** Hue 0 to 23, from blue by magenta, red, yellow, green and cyan. */
function hue(ramp: readonly number[], n: number): number[] {
  const [sixth, step] = [n >> 2, n & 3];
  const [up, down] = [ramp[step], ramp[4 - step]];
  const [min, max] = [ramp[0], ramp[4]];
  return [
    [up, min, max],
    [max, min, down],
    [max, up, min],
    [down, max, min],
    [min, max, up],
    [min, down, max],
  ][sixth];
}

/** Entry `n` of a palette as red, green, blue, 6 bits each. */
function entry(kind: PaletteKind, n: number): number[] {
  if (kind !== "vga") {
    if (n >= 64) return [0, 0, 0];
    if (kind === "ega") return ega(n);
    if (kind === "cga") return cga((n & 7) | ((n & 0x10) >> 1));
    const level = [0x00, 0x2a, 0x00, 0x3f][(n >> 3) & 3];
    return [level, level, level];
  }
  if (n < 16) return cga(n);
  if (n < 32) return [GREYS[n - 16], GREYS[n - 16], GREYS[n - 16]];
  const at = n - 32;
  if (at >= 216) return [0, 0, 0];
  return hue(RAMPS[Math.floor(at / 72)][Math.floor(at / 24) % 3], at % 24);
}

/** 256 times red, green and blue, 6 bits each. */
export function defaultPalette(kind: PaletteKind): Uint8Array {
  return Uint8Array.from(Array.from({ length: 256 }, (_, n) => entry(kind, n)).flat());
}
