/**
 * Dots, characters and scrolling in graphics modes: CGA (two or four colours), planar (EGA, VGA), 256 colours.
 *
 * Reference: IBM VGA Technical Reference, "Video memory organisation"; BIOS interface AH=09h-0Dh.
 */

import type { VgaMode } from "../../devices/vga/modes.ts";
import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import type { Box, TextScreen } from "./text_screen.ts";
import { currentMode } from "./video_mode.ts";

const GRAPHICS_INDEX = 0x3ce;
const SEQUENCER_INDEX = 0x3c4;
const READ_MAP = 4;
const BIT_MASK = 8;
const MAP_MASK = 2;
const GRAPHICS_MODE = 5;
/** Bit 7 of a colour: the dot is XORed with what is there. */
const XOR = 0x80;

/** Writes a register of an index and data pair. */
function set({ host: { ports } }: Guest, port: number, index: number, value: number): void {
  ports.write(port, 1, index);
  ports.write(port + 1, 1, value);
}

/** Bytes of a line of dots. */
const pitch = ({ kind, width }: VgaMode): number =>
  kind === "chained" ? width : kind === "cga4" ? width / 4 : width / 8;

/** Address of the byte with a dot. */
function dotAddress(mode: VgaMode, x: number, y: number, page: number): number {
  const start = mode.address + page * mode.pageBytes;
  switch (mode.kind) {
    case "cga4":
    case "cga2": // odd lines lie 8 KiB behind even ones
      return start + (y & 1) * 0x2000 + (y >>> 1) * 80 +
        Math.floor(x / (mode.kind === "cga4" ? 4 : 8));
    case "chained":
      return start + y * mode.width + x;
    default:
      return start + y * (mode.width / 8) + (x >>> 3);
  }
}

/** AH=0Ch. */
export function writePixel(guest: Guest, x: number, y: number, color: number): void {
  const mode = currentMode(guest);
  if (mode.kind === "text" || x >= mode.width || y >= mode.height) return;
  const { bus } = guest.host;
  const page = mode.kind === "planar" ? guest.bh & 7 : 0;
  const address = dotAddress(mode, x, y, page);
  if (mode.kind === "chained") return bus.write(address, 1, color);
  if (mode.kind === "planar") return planarDots(guest, address, 0x80 >>> (x & 7), color);
  const bits = mode.kind === "cga4" ? 2 : 1;
  const shift = 8 - bits - (x * bits & 7);
  const mask = ((1 << bits) - 1) << shift;
  const value = (color << shift) & mask;
  const before = bus.read(address, 1);
  bus.write(address, 1, (color & XOR) !== 0 ? before ^ value : (before & ~mask) | value);
}

/** Sets the dots of `mask` in a byte of all planes to a colour. */
function planarDots(guest: Guest, address: number, mask: number, color: number): void {
  const { bus } = guest.host;
  set(guest, GRAPHICS_INDEX, BIT_MASK, mask);
  set(guest, GRAPHICS_INDEX, GRAPHICS_MODE, 2); // write mode 2: the data are a colour
  if ((color & XOR) !== 0) set(guest, GRAPHICS_INDEX, 3, 0x18);
  bus.read(address, 1); // fills the latches
  bus.write(address, 1, color & 0x0f);
  set(guest, GRAPHICS_INDEX, 3, 0);
  set(guest, GRAPHICS_INDEX, GRAPHICS_MODE, 0);
  set(guest, GRAPHICS_INDEX, BIT_MASK, 0xff);
}

/** AH=0Dh. */
export function readPixel(guest: Guest, x: number, y: number): number {
  const mode = currentMode(guest);
  if (mode.kind === "text" || x >= mode.width || y >= mode.height) return 0;
  const { bus } = guest.host;
  const page = mode.kind === "planar" ? guest.bh & 7 : 0;
  const address = dotAddress(mode, x, y, page);
  if (mode.kind === "chained") return bus.read(address, 1);
  if (mode.kind !== "planar") {
    const bits = mode.kind === "cga4" ? 2 : 1;
    return (bus.read(address, 1) >>> (8 - bits - (x * bits & 7))) & ((1 << bits) - 1);
  }
  let color = 0;
  for (let plane = 0; plane < 4; plane++) {
    set(guest, GRAPHICS_INDEX, READ_MAP, plane);
    if ((bus.read(address, 1) & (0x80 >>> (x & 7))) !== 0) color |= 1 << plane;
  }
  return color;
}

/** Linear address of a character's glyph: INT 43h, or for the upper half of the CGA's, INT 1Fh. */
function glyphAddress(guest: Guest, mode: VgaMode, character: number): number {
  const { memory } = guest.host;
  const cgaUpper = mode.kind.startsWith("cga") && character >= 0x80;
  const vector = (cgaUpper ? 0x1f : 0x43) * 4;
  const font = memory.readU16(vector + 2) * 16 + memory.readU16(vector);
  const height = memory.readU16(Bda.characterHeight) & 0xff;
  return font + (cgaUpper ? character - 0x80 : character) * height;
}

/** Draws a character at a place counted in characters. */
export function writeGraphicsCell(
  guest: Guest,
  row: number,
  column: number,
  character: number,
  color: number,
): void {
  const mode = currentMode(guest);
  const height = Math.min(guest.host.memory.readU16(Bda.characterHeight) & 0xff, 32);
  const glyph = glyphAddress(guest, mode, character);
  if ((column + 1) * 8 > mode.width) return;
  for (let line = 0; line < height; line++) {
    const y = row * height + line;
    if (y >= mode.height) return;
    drawLine(guest, mode, column, y, guest.space.read8(glyph + line), color);
  }
}

/** Eight dots of a character: one byte of the font. */
function drawLine(
  guest: Guest,
  mode: VgaMode,
  column: number,
  y: number,
  dots: number,
  color: number,
): void {
  const { bus } = guest.host;
  const xor = (color & XOR) !== 0;
  const address = dotAddress(mode, column * 8, y, 0);
  switch (mode.kind) {
    case "planar":
      if (!xor) planarDots(guest, address, 0xff, 0);
      return planarDots(guest, address, dots, color);
    case "chained":
      for (let i = 0; i < 8; i++) {
        bus.write(address + i, 1, (dots & (0x80 >>> i)) !== 0 ? color : 0);
      }
      return;
    case "cga2":
      return bus.write(address, 1, xor ? bus.read(address, 1) ^ dots : dots);
    case "cga4":
      for (let half = 0; half < 2; half++) {
        let value = 0;
        for (let i = 0; i < 4; i++) {
          const on = (dots & (0x80 >>> (half * 4 + i))) !== 0;
          value = value << 2 | (on ? color & 3 : 0);
        }
        bus.write(address + half, 1, xor ? bus.read(address + half, 1) ^ value : value);
      }
  }
}

/** AH=08h: the character whose glyph is drawn at a place; 0 when none is. */
export function readGraphicsCell(guest: Guest, row: number, column: number): number {
  const mode = currentMode(guest);
  const height = Math.min(guest.host.memory.readU16(Bda.characterHeight) & 0xff, 32);
  const seen: number[] = [];
  for (let line = 0; line < height; line++) {
    let dots = 0;
    for (let i = 0; i < 8; i++) {
      const on = readPixel(guest, column * 8 + i, row * height + line) !== 0;
      dots = dots << 1 | (on ? 1 : 0);
    }
    seen.push(dots);
  }
  for (let character = 0; character < 256; character++) {
    const glyph = glyphAddress(guest, mode, character);
    if (seen.every((dots, line) => guest.space.read8(glyph + line) === dots)) return character;
  }
  return 0;
}

/** INT 10h AH=06h and 07h in graphics modes; the box is in characters. */
export function scrollGraphics(
  guest: Guest,
  screen: TextScreen,
  box: Box,
  lines: number,
  color: number,
): void {
  const right = Math.min(box.right, screen.columns - 1);
  const bottom = Math.min(box.bottom, screen.rows - 1);
  const height = bottom - box.top + 1;
  if (height <= 0 || right < box.left) return;
  const count = lines === 0 ? height : Math.min(Math.abs(lines), height);
  for (let i = 0; i < height; i++) {
    const row = lines >= 0 ? box.top + i : bottom - i;
    const from = lines >= 0 ? row + count : row - count;
    if (i + count < height) moveGraphicsRow(guest, row, from, box.left, right);
    else fillGraphicsRow(guest, row, box.left, right, color);
  }
}

/** Moves a row of characters over another. */
function moveGraphicsRow(
  guest: Guest,
  to: number,
  from: number,
  left: number,
  right: number,
): void {
  eachLine(guest, left, right, (mode, line, start, length) => {
    const height = guest.host.memory.readU16(Bda.characterHeight) & 0xff;
    const source = dotAddress(mode, 0, from * height + line, 0) + start;
    const target = dotAddress(mode, 0, to * height + line, 0) + start;
    const { bus } = guest.host;
    // Write mode 1 copies the latches: all four planes at once.
    if (mode.kind === "planar") set(guest, GRAPHICS_INDEX, GRAPHICS_MODE, 1);
    for (let i = 0; i < length; i++) bus.write(target + i, 1, bus.read(source + i, 1));
    if (mode.kind === "planar") set(guest, GRAPHICS_INDEX, GRAPHICS_MODE, 0);
  });
}

/** Fills a row of characters with a colour. */
function fillGraphicsRow(
  guest: Guest,
  row: number,
  left: number,
  right: number,
  color: number,
): void {
  eachLine(guest, left, right, (mode, line, start, length) => {
    const height = guest.host.memory.readU16(Bda.characterHeight) & 0xff;
    const target = dotAddress(mode, 0, row * height + line, 0) + start;
    const { bus } = guest.host;
    if (mode.kind === "planar") {
      set(guest, SEQUENCER_INDEX, MAP_MASK, 0x0f);
      set(guest, GRAPHICS_INDEX, GRAPHICS_MODE, 2);
    }
    const fill = mode.kind === "planar" || mode.kind === "chained" ? color : color & 0xff;
    for (let i = 0; i < length; i++) bus.write(target + i, 1, fill);
    if (mode.kind === "planar") set(guest, GRAPHICS_INDEX, GRAPHICS_MODE, 0);
  });
}

type LineBody = (mode: VgaMode, line: number, start: number, length: number) => void;

/** Calls `body` for each line of dots in a row of characters, with the bytes of its columns. */
function eachLine(guest: Guest, left: number, right: number, body: LineBody): void {
  const mode = currentMode(guest);
  const height = Math.min(guest.host.memory.readU16(Bda.characterHeight) & 0xff, 32);
  const bytes = pitch(mode) / mode.columns;
  for (let line = 0; line < height; line++) {
    body(mode, line, left * bytes, (right - left + 1) * bytes);
  }
}
