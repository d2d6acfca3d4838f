/**
 * Video modes as INT 10h sets them, and what the BIOS data area says of them.
 *
 * Reference: IBM VGA Technical Reference, BIOS interface; BIOS data area 40:49h-66h, 84h-8Ah.
 */

import { setVgaMode, type VgaBus, type VgaMode, vgaMode } from "../../devices/vga/modes.ts";
import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";
import { RomOffset } from "../rom/rom.ts";
import type { TextScreen } from "./text_screen.ts";

/** Contents of the CGA's mode register (40:65h) for modes 0 to 7. */
const CGA_MODE = [0x2c, 0x28, 0x2d, 0x29, 0x2a, 0x2e, 0x1e, 0x29];

/** The machine as devices/vga/modes.ts addresses it. */
export const vgaBus = ({ host: { ports, bus } }: Guest): VgaBus => ({
  in: (port) => ports.read(port, 1),
  out: (port, value) => ports.write(port, 1, value),
  write: (address, size, value) => bus.write(address, size, value >>> 0),
});

/** The mode that is set. */
export function currentMode(guest: Guest): VgaMode {
  return vgaMode(guest.host.memory.readU8(Bda.videoMode) & 0x7f) ?? vgaMode(3)!;
}

/** Is a graphics mode set? */
export function isGraphics(guest: Guest): boolean {
  const number = guest.host.memory.readU8(Bda.videoMode) & 0x7f;
  return number > 3 && number !== 7 && currentMode(guest).kind !== "text";
}

/** INT 10h AH=00h; a mode that does not exist changes nothing. */
export function setVideoMode(
  guest: Guest,
  screen: TextScreen,
  number: number,
  clear: boolean,
): void {
  const mode = vgaMode(number);
  if (mode === undefined || !guest.host.config.vga) return;
  const { memory } = guest.host;
  setVgaMode(vgaBus(guest), mode, { clear });
  const text = mode.kind === "text";
  memory.writeU8(Bda.videoMode, number);
  memory.writeU16(Bda.videoColumns, mode.columns);
  memory.writeU16(Bda.videoPageBytes, mode.pageBytes);
  memory.writeU16(Bda.videoPageStart, 0);
  for (let page = 0; page < 8; page++) memory.writeU16(Bda.cursorPositions + page * 2, 0);
  memory.writeU8(Bda.videoPage, 0);
  memory.writeU16(Bda.crtcPort, mode.address === 0xb0000 || number === 0x0f ? 0x3b4 : 0x3d4);
  memory.writeU8(Bda.cgaMode, CGA_MODE[number] ?? 0x29);
  memory.writeU8(Bda.cgaPalette, number === 6 ? 0x3f : 0x30);
  memory.writeU8(Bda.videoRows, mode.rows - 1);
  memory.writeU16(Bda.characterHeight, mode.characterHeight);
  memory.writeU8(Bda.videoControl, clear ? 0x60 : 0xe0);
  memory.writeU8(Bda.videoSwitches, 0xf9);
  memory.writeU8(Bda.videoModeOptions, 0x51); // VGA, 400 lines, default palette loaded
  memory.writeU8(Bda.displayCombination, 0x08);
  setGraphicsFont(guest, mode.characterHeight);
  if (text) screen.setCursorShape(mode.characterHeight - 3, mode.characterHeight - 2);
  else memory.writeU16(Bda.cursorShape, 0x0607);
  if (text) screen.setCursor(0, 0, 0);
}

/** INT 43h points to the font that graphics modes draw with. */
function setGraphicsFont({ host: { memory } }: Guest, height: number): void {
  const offset = height === 8
    ? RomOffset.font8
    : height === 14
    ? RomOffset.font14
    : RomOffset.font16;
  memory.writeU16(0x43 * 4, offset);
  memory.writeU16(0x43 * 4 + 2, 0xf000);
}
