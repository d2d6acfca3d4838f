/**
 * INT 10h AH=0Bh and 10h: palette registers, overscan, blinking, and the 256 colours of the DAC.
 *
 * Reference: IBM VGA Technical Reference, BIOS interface AH=0Bh, 10h.
 */

import { Bda } from "../bda.ts";
import type { Guest } from "../guest.ts";

const ATTRIBUTE = 0x3c0;
const ATTRIBUTE_READ = 0x3c1;
const STATUS = 0x3da;
const STATUS_MONO = 0x3ba;
const DAC_READ = 0x3c7;
const DAC_WRITE = 0x3c8;
const DAC_DATA = 0x3c9;
const DAC_MASK = 0x3c6;
const PALETTE_SOURCE = 0x20;
const MODE_CONTROL = 0x10;
const OVERSCAN = 0x11;
const COLOR_SELECT = 0x14;
const BLINK = 0x08;
const SELECT_45 = 0x80;

function resetFlipFlop({ host: { ports } }: Guest): void {
  ports.read(STATUS, 1);
  ports.read(STATUS_MONO, 1);
}

function writeAttribute(guest: Guest, index: number, value: number): void {
  const { ports } = guest.host;
  resetFlipFlop(guest);
  ports.write(ATTRIBUTE, 1, index & 0x1f);
  ports.write(ATTRIBUTE, 1, value);
  ports.write(ATTRIBUTE, 1, PALETTE_SOURCE);
}

function readAttribute(guest: Guest, index: number): number {
  const { ports } = guest.host;
  resetFlipFlop(guest);
  ports.write(ATTRIBUTE, 1, index & 0x1f);
  const value = ports.read(ATTRIBUTE_READ, 1);
  resetFlipFlop(guest);
  ports.write(ATTRIBUTE, 1, PALETTE_SOURCE);
  return value;
}

/** Serves AH=0Bh and AH=10h. */
export function paletteService(guest: Guest): void {
  if (guest.ah === 0x0b) return cgaPalette(guest);
  const { ports } = guest.host;
  const { space, registers } = guest;
  const at = guest.linear(registers.es, guest.dx);
  switch (guest.al) {
    case 0x00:
      if (guest.bl <= COLOR_SELECT) writeAttribute(guest, guest.bl, guest.bh);
      return;
    case 0x01:
      return writeAttribute(guest, OVERSCAN, guest.bh);
    case 0x02:
      for (let i = 0; i < 16; i++) writeAttribute(guest, i, space.read8(at + i));
      return writeAttribute(guest, OVERSCAN, space.read8(at + 16));
    case 0x03: {
      const mode = readAttribute(guest, MODE_CONTROL);
      return writeAttribute(guest, MODE_CONTROL, guest.bl === 0 ? mode & ~BLINK : mode | BLINK);
    }
    case 0x07:
      if (guest.bl <= COLOR_SELECT) guest.bh = readAttribute(guest, guest.bl);
      return;
    case 0x08:
      guest.bh = readAttribute(guest, OVERSCAN);
      return;
    case 0x09:
      for (let i = 0; i < 16; i++) space.write8(at + i, readAttribute(guest, i));
      return space.write8(at + 16, readAttribute(guest, OVERSCAN));
    case 0x10:
      ports.write(DAC_WRITE, 1, guest.bl);
      for (const part of [guest.dh, guest.ch, guest.cl]) ports.write(DAC_DATA, 1, part);
      return;
    case 0x12:
      ports.write(DAC_WRITE, 1, guest.bl);
      for (let i = 0; i < Math.min(guest.cx, 256) * 3; i++) {
        ports.write(DAC_DATA, 1, space.read8(at + i));
      }
      return;
    case 0x13:
      return colorPage(guest);
    case 0x15:
      ports.write(DAC_READ, 1, guest.bl);
      guest.dh = ports.read(DAC_DATA, 1);
      guest.ch = ports.read(DAC_DATA, 1);
      guest.cl = ports.read(DAC_DATA, 1);
      return;
    case 0x17:
      ports.write(DAC_READ, 1, guest.bl);
      for (let i = 0; i < Math.min(guest.cx, 256) * 3; i++) {
        space.write8(at + i, ports.read(DAC_DATA, 1));
      }
      return;
    case 0x18:
      return ports.write(DAC_MASK, 1, guest.bl);
    case 0x19:
      guest.bl = ports.read(DAC_MASK, 1);
      return;
    case 0x1a: {
      const paged16 = (readAttribute(guest, MODE_CONTROL) & SELECT_45) !== 0;
      const select = readAttribute(guest, COLOR_SELECT);
      guest.bl = paged16 ? 1 : 0;
      guest.bh = paged16 ? select & 0x0f : (select >>> 2) & 3;
      return;
    }
    case 0x1b:
      return greyScale(guest);
  }
}

/** AH=0Bh: BH 0 background or border, BH 1 one of the CGA's two palettes. */
function cgaPalette(guest: Guest): void {
  const { memory } = guest.host;
  const before = memory.readU8(Bda.cgaPalette);
  if (guest.bh === 0) {
    memory.writeU8(Bda.cgaPalette, (before & 0xe0) | (guest.bl & 0x1f));
    const color = guest.bl & 0x0f;
    const value = (color & 7) | (color & 8) << 1;
    if (memory.readU8(Bda.videoMode) > 3) writeAttribute(guest, 0, value);
    return writeAttribute(guest, OVERSCAN, value);
  }
  memory.writeU8(Bda.cgaPalette, (before & ~0x20) | (guest.bl & 1) << 5);
  const bright = (before & 0x10) !== 0 ? 0x10 : 0;
  // Green, red, brown; or cyan, magenta, white.
  for (let i = 1; i < 4; i++) writeAttribute(guest, i, (i * 2 + (guest.bl & 1)) | bright);
}

/** AL=13h: BL 0 chooses 4 pages of 64 or 16 of 16 colours, BL 1 a page. */
function colorPage(guest: Guest): void {
  const mode = readAttribute(guest, MODE_CONTROL);
  if (guest.bl === 0) {
    writeAttribute(guest, MODE_CONTROL, guest.bh === 0 ? mode & ~SELECT_45 : mode | SELECT_45);
  } else if ((mode & SELECT_45) !== 0) writeAttribute(guest, COLOR_SELECT, guest.bh & 0x0f);
  else writeAttribute(guest, COLOR_SELECT, (guest.bh & 3) << 2);
}

/** AL=1Bh: CX colours from BX on to shades of grey of the same brightness. */
function greyScale(guest: Guest): void {
  const { ports } = guest.host;
  for (let i = 0; i < Math.min(guest.cx, 256); i++) {
    const index = (guest.bl + i) & 0xff;
    ports.write(DAC_READ, 1, index);
    const red = ports.read(DAC_DATA, 1);
    const green = ports.read(DAC_DATA, 1);
    const blue = ports.read(DAC_DATA, 1);
    const grey = Math.round(red * 0.3 + green * 0.59 + blue * 0.11);
    ports.write(DAC_WRITE, 1, index);
    for (let part = 0; part < 3; part++) ports.write(DAC_DATA, 1, grey);
  }
}
