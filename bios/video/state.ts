/**
 * INT 10h AH=1Ah and 1Bh: which display there is, and what it and the BIOS can do and are doing.
 *
 * Reference: IBM VGA Technical Reference, BIOS interface AH=1Ah, 1Bh (tables of state).
 */

import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { staticTableOffset } from "../rom/rom.ts";
import { currentMode } from "./video_mode.ts";

/** AH=1Ah: BL the active display: 8, VGA with colour monitor; BH none. */
export function displayCombination(guest: Guest): void {
  const { memory } = guest.host;
  if (guest.al === 0) guest.bx = memory.readU8(Bda.displayCombination);
  else if (guest.al === 1) memory.writeU8(Bda.displayCombination, guest.bl);
  else return;
  guest.al = 0x1a;
}

/** AH=1Bh: 64 bytes at ES:DI. */
export function functionalityState(guest: Guest): void {
  if (guest.bx !== 0) return;
  const { memory } = guest.host;
  const mode = currentMode(guest);
  const table = new Uint8Array(64);
  const data = new DataView(table.buffer);
  data.setUint16(0, staticTableOffset(), true);
  data.setUint16(2, 0xf000, true);
  // Bytes 4 to 21h are the BIOS data area's from the mode to the palette register.
  const area = memory.view(Bda.videoMode, 0x1e);
  if (area !== undefined) table.set(area, 4);
  table[0x22] = memory.readU8(Bda.videoRows) + 1;
  data.setUint16(0x23, memory.readU16(Bda.characterHeight), true);
  table[0x25] = memory.readU8(Bda.displayCombination);
  data.setUint16(0x27, colors(mode), true);
  table[0x29] = pages(mode);
  table[0x2a] = mode.height === 200 ? 0 : mode.height === 350 ? 1 : mode.height === 400 ? 2 : 3;
  table[0x2d] = 0x01 | ((memory.readU8(Bda.videoModeOptions) & 0x08) !== 0 ? 0 : 0x20);
  table[0x31] = 3; // 256 KiB
  guest.space.write(guest.linear(guest.registers.es, guest.di), table);
  guest.al = 0x1b;
}

function colors({ kind, number }: ReturnType<typeof currentMode>): number {
  switch (kind) {
    case "text":
      return number === 7 ? 0 : 16;
    case "cga4":
      return 4;
    case "cga2":
      return 2;
    case "planar":
      return number === 0x0f || number === 0x11 ? 2 : 16;
    case "chained":
      return 256;
  }
}

const pages = ({ address, pageBytes }: ReturnType<typeof currentMode>): number =>
  Math.max(1, Math.min(8, Math.floor((address === 0xa0000 ? 0x10000 : 0x8000) / pageBytes)));
