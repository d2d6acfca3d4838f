/**
 * INT 10h AH=11h: fonts into the character generator, other numbers of rows, where fonts are.
 *
 * Reference: IBM VGA Technical Reference, BIOS interface AH=11h.
 */

import { alignUp } from "../../hv/core/align.ts";
import { vgaFont } from "../../devices/vga/font.ts";
import { loadVgaFont } from "../../devices/vga/modes.ts";
import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { RomOffset } from "../rom/rom.ts";
import type { TextScreen } from "./text_screen.ts";
import { currentMode, vgaBus } from "./video_mode.ts";

const ROM_SEGMENT = 0xf000;
const MAXIMUM_SCAN_LINE = 0x09;
const VERTICAL_DISPLAY_END = 0x12;
const SEQUENCER = 0x3c4;
const CHARACTER_MAP_SELECT = 3;
const CHARACTERS = 256;

/** Serves one call. */
export function fontService(guest: Guest, screen: TextScreen): void {
  switch (guest.al) {
    case 0x00:
    case 0x10:
      return userFont(guest, screen);
    case 0x01:
    case 0x11:
      return romFont(guest, screen, 14);
    case 0x02:
    case 0x12:
      return romFont(guest, screen, 8);
    case 0x04:
    case 0x14:
      return romFont(guest, screen, 16);
    case 0x03: {
      const { ports } = guest.host;
      ports.write(SEQUENCER, 1, CHARACTER_MAP_SELECT);
      return ports.write(SEQUENCER + 1, 1, guest.bl);
    }
    case 0x20:
      return setVector(guest, 0x1f, guest.registers.es.selector, guest.bp);
    case 0x21:
      setVector(guest, 0x43, guest.registers.es.selector, guest.bp);
      return graphicsRows(guest, guest.cx);
    case 0x22:
      setVector(guest, 0x43, ROM_SEGMENT, RomOffset.font14);
      return graphicsRows(guest, 14);
    case 0x23:
      setVector(guest, 0x43, ROM_SEGMENT, RomOffset.font8);
      return graphicsRows(guest, 8);
    case 0x24:
      setVector(guest, 0x43, ROM_SEGMENT, RomOffset.font16);
      return graphicsRows(guest, 16);
    case 0x30:
      return information(guest);
  }
}

function setVector(
  { host: { memory } }: Guest,
  vector: number,
  segment: number,
  offset: number,
): void {
  memory.writeU16(vector * 4, offset);
  memory.writeU16(vector * 4 + 2, segment);
}

/** AL=00h, 10h: CX characters from DX on, BH bytes each, from ES:BP. */
function userFont(guest: Guest, screen: TextScreen): void {
  const height = Math.min(guest.bh, 32);
  if (height === 0) return;
  const count = Math.min(guest.cx, CHARACTERS - Math.min(guest.dx, CHARACTERS));
  const rows = new Uint8Array(count * height);
  guest.space.read(guest.linear(guest.registers.es, guest.bp), rows);
  loadVgaFont(vgaBus(guest), { height, rows }, {
    block: guest.bl & 7,
    first: guest.dx & 0xff,
    count,
  });
  if (guest.al === 0x10) textRows(guest, screen, height);
}

function romFont(guest: Guest, screen: TextScreen, height: 8 | 14 | 16): void {
  loadVgaFont(vgaBus(guest), vgaFont(height), { block: guest.bl & 7 });
  if (guest.al >= 0x10) textRows(guest, screen, height);
}

/** Characters of another height: the screen gets as many rows as fit. */
function textRows(guest: Guest, screen: TextScreen, height: number): void {
  const { memory, ports } = guest.host;
  const mode = currentMode(guest);
  if (mode.kind !== "text") return;
  const crtc = memory.readU16(Bda.crtcPort) === 0x3b4 ? 0x3b4 : 0x3d4;
  ports.write(crtc, 1, MAXIMUM_SCAN_LINE);
  const scan = ports.read(crtc + 1, 1) & 0xe0;
  ports.write(crtc + 1, 1, scan | (height - 1));
  const rows = Math.floor(mode.height / height);
  ports.write(crtc, 1, VERTICAL_DISPLAY_END);
  ports.write(crtc + 1, 1, (rows * height - 1) & 0xff);
  memory.writeU8(Bda.videoRows, rows - 1);
  memory.writeU16(Bda.characterHeight, height);
  memory.writeU16(Bda.videoPageBytes, alignUp(rows * screen.columns * 2, 256));
  screen.setCursorShape(Math.max(0, height - 3), Math.max(0, height - 2));
}

/** BL: 1, 2, 3 mean 14, 25, 43 rows; 0: DL of them. */
function graphicsRows(guest: Guest, height: number): void {
  const { memory } = guest.host;
  const rows = guest.bl === 0 ? guest.dl : [0, 14, 25, 43][guest.bl] ?? 25;
  memory.writeU16(Bda.characterHeight, Math.min(Math.max(height, 1), 32));
  memory.writeU8(Bda.videoRows, Math.max(0, rows - 1));
}

/** AL=30h: ES:BP, CX bytes a character, DL rows less one. */
function information(guest: Guest): void {
  const { memory } = guest.host;
  const rom = (offset: number) => [ROM_SEGMENT, offset];
  const vector = (number: number) => [memory.readU16(number * 4 + 2), memory.readU16(number * 4)];
  const pointer = [
    () => vector(0x1f),
    () => vector(0x43),
    () => rom(RomOffset.font14),
    () => rom(RomOffset.font8),
    () => rom(RomOffset.font8Upper),
    () => rom(RomOffset.font14),
    () => rom(RomOffset.font16),
    () => rom(RomOffset.font16),
  ][guest.bh]?.();
  if (pointer === undefined) return;
  guest.setSegment(guest.registers.es, pointer[0]);
  guest.bp = pointer[1];
  guest.cx = memory.readU16(Bda.characterHeight);
  guest.dl = memory.readU8(Bda.videoRows);
}
