/**
 * The BIOS video modes 0 to 7 and 0Dh to 13h: what a BIOS puts into the registers for each, and the
 * sequence that does it through the ports, as INT 10h AH=00h.
 *
 * References: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem", tables "BIOS Video
 * Modes" and the register values by mode; text modes are those of 400 lines.
 */

import { defaultPalette, type PaletteKind } from "./palette.ts";
import { type VgaFont, vgaFont } from "./font.ts";
import { ATTR_PALETTE_SOURCE, Crtc, CRTC_PROTECT, Misc, SeqClocking } from "./registers.ts";

/** What a mode is to a BIOS. */
export interface VgaMode {
  /** Number of the mode, as in INT 10h AH=00h. */
  readonly number: number;
  /** How a dot or character gets into memory. */
  readonly kind: "text" | "cga4" | "cga2" | "planar" | "chained";
  /** Characters in a row, and rows. */
  readonly columns: number;
  readonly rows: number;
  /** Rows of dots in a character: of the font in use. */
  readonly characterHeight: 8 | 14 | 16;
  /** Dots; of text, those of the characters. */
  readonly width: number;
  readonly height: number;
  /** Where the memory is, guest-physical. */
  readonly address: number;
  /** Bytes of a page, as in the BIOS data area at 40:4Ch. */
  readonly pageBytes: number;
  readonly miscOutput: number;
  /** Registers 0 to 4. */
  readonly sequencer: readonly number[];
  /** Registers 0 to 18h. */
  readonly crtc: readonly number[];
  /** Registers 0 to 13h. */
  readonly attribute: readonly number[];
  /** Registers 0 to 8. */
  readonly graphics: readonly number[];
  readonly palette: PaletteKind;
}

/** The machine as a BIOS sees it, one byte at a time unless stated. */
export interface VgaBus {
  in(port: number): number;
  out(port: number, value: number): void;
  /** Writes `size` (1, 2 or 4) bytes at a guest-physical address. */
  write(address: number, size: number, value: number): void;
}

const hex = (text: string) => text.trim().split(/\s+/).map((byte) => parseInt(byte, 16));

const CRTC_TEXT_40 = hex(
  `2d 27 28 90 2b a0 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 14 1f 96 b9 a3 ff`,
);
const CRTC_TEXT_80 = hex(
  `5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff`,
);
const CRTC_TEXT_MONO = hex(
  `5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 0d 96 b9 a3 ff`,
);
const CRTC_320_CGA = hex(
  `2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff`,
);
const CRTC_640_CGA = hex(
  `5f 4f 50 82 54 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 c2 ff`,
);
const CRTC_320_200 = hex(
  `2d 27 28 90 2b 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 e3 ff`,
);
const CRTC_640_200 = hex(
  `5f 4f 50 82 54 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 e3 ff`,
);
const CRTC_640_350 = hex(
  `5f 4f 50 82 54 80 bf 1f 00 40 00 00 00 00 00 00 83 85 5d 28 0f 63 ba e3 ff`,
);
const CRTC_640_480 = hex(
  `5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff`,
);
const CRTC_256 = hex(`5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff`);

const ATTR_TEXT = hex(`00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 0c 00 0f 08`);
const ATTR_MONO = hex(`00 08 08 08 08 08 08 08 10 18 18 18 18 18 18 18 0e 00 0f 08`);
const ATTR_CGA4 = hex(`00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17 01 00 03 00`);
const ATTR_CGA2 = hex(`00 17 17 17 17 17 17 17 17 17 17 17 17 17 17 17 01 00 01 00`);
const ATTR_200 = hex(`00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17 01 00 0f 00`);
const ATTR_MONO_350 = hex(`00 08 00 00 18 18 00 00 00 08 00 00 00 18 00 00 0b 00 05 00`);
const ATTR_16 = hex(`00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f 01 00 0f 00`);
const ATTR_2 = hex(`00 3f 00 3f 00 3f 00 3f 00 3f 00 3f 00 3f 00 3f 01 00 0f 00`);
const ATTR_256 = hex(`00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 41 00 0f 00`);

const GFX_TEXT = hex(`00 00 00 00 00 10 0e 00 ff`);
const GFX_MONO = hex(`00 00 00 00 00 10 0a 00 ff`);
const GFX_CGA4 = hex(`00 00 00 00 00 30 0f 00 ff`);
const GFX_CGA2 = hex(`00 00 00 00 00 00 0d 00 ff`);
const GFX_16 = hex(`00 00 00 00 00 00 05 0f ff`);
const GFX_MONO_350 = hex(`00 00 00 00 00 00 05 05 ff`);
const GFX_2 = hex(`00 00 00 00 00 00 05 01 ff`);
const GFX_256 = hex(`00 00 00 00 00 40 05 0f ff`);

const text = (number: number, columns: number): VgaMode => ({
  number,
  kind: "text",
  columns,
  rows: 25,
  characterHeight: 16,
  width: columns * 9,
  height: 400,
  address: 0xb8000,
  pageBytes: columns === 40 ? 0x800 : 0x1000,
  miscOutput: 0x67,
  sequencer: [0x03, columns === 40 ? 0x08 : 0x00, 0x03, 0x00, 0x02],
  crtc: columns === 40 ? CRTC_TEXT_40 : CRTC_TEXT_80,
  attribute: ATTR_TEXT,
  graphics: GFX_TEXT,
  palette: "ega",
});

const cga = (number: number): VgaMode => ({
  number,
  kind: number === 6 ? "cga2" : "cga4",
  columns: number === 6 ? 80 : 40,
  rows: 25,
  characterHeight: 8,
  width: number === 6 ? 640 : 320,
  height: 200,
  address: 0xb8000,
  pageBytes: 0x4000,
  miscOutput: 0x63,
  sequencer: number === 6 ? [0x03, 0x01, 0x01, 0x00, 0x06] : [0x03, 0x09, 0x03, 0x00, 0x02],
  crtc: number === 6 ? CRTC_640_CGA : CRTC_320_CGA,
  attribute: number === 6 ? ATTR_CGA2 : ATTR_CGA4,
  graphics: number === 6 ? GFX_CGA2 : GFX_CGA4,
  palette: "cga",
});

/** What a planar mode does not share with the others. */
type Planar = Pick<VgaMode, "miscOutput" | "crtc" | "attribute" | "graphics" | "palette">;

const planar = (
  number: number,
  [width, height]: readonly [number, number],
  characterHeight: 8 | 14 | 16,
  pageBytes: number,
  registers: Planar,
): VgaMode => ({
  number,
  kind: "planar",
  columns: width / 8,
  rows: Math.floor(height / characterHeight),
  characterHeight,
  width,
  height,
  address: 0xa0000,
  pageBytes,
  sequencer: [0x03, width === 320 ? 0x09 : 0x01, 0x0f, 0x00, 0x06],
  ...registers,
});

const low = (crtc: readonly number[]): Planar => ({
  miscOutput: 0x63,
  crtc,
  attribute: ATTR_200,
  graphics: GFX_16,
  palette: "cga",
});
const fine = (attribute: readonly number[], graphics: readonly number[]): Planar => ({
  miscOutput: 0xe3,
  crtc: CRTC_640_480,
  attribute,
  graphics,
  palette: "ega",
});

const MODES: readonly VgaMode[] = [
  text(0x00, 40),
  text(0x01, 40),
  text(0x02, 80),
  text(0x03, 80),
  cga(0x04),
  cga(0x05),
  cga(0x06),
  {
    ...text(0x07, 80),
    address: 0xb0000,
    miscOutput: 0x66,
    crtc: CRTC_TEXT_MONO,
    attribute: ATTR_MONO,
    graphics: GFX_MONO,
    palette: "mono",
  },
  planar(0x0d, [320, 200], 8, 0x2000, low(CRTC_320_200)),
  planar(0x0e, [640, 200], 8, 0x4000, low(CRTC_640_200)),
  planar(0x0f, [640, 350], 14, 0x8000, {
    miscOutput: 0xa2,
    crtc: CRTC_640_350,
    attribute: ATTR_MONO_350,
    graphics: GFX_MONO_350,
    palette: "mono",
  }),
  planar(0x10, [640, 350], 14, 0x8000, {
    miscOutput: 0xa3,
    crtc: CRTC_640_350,
    attribute: ATTR_16,
    graphics: GFX_16,
    palette: "ega",
  }),
  planar(0x11, [640, 480], 16, 0xa000, fine(ATTR_2, GFX_2)),
  planar(0x12, [640, 480], 16, 0xa000, fine(ATTR_16, GFX_16)),
  {
    number: 0x13,
    kind: "chained",
    columns: 40,
    rows: 25,
    characterHeight: 8,
    width: 320,
    height: 200,
    address: 0xa0000,
    pageBytes: 0x10000,
    miscOutput: 0x63,
    sequencer: [0x03, 0x01, 0x0f, 0x00, 0x0e],
    crtc: CRTC_256,
    attribute: ATTR_256,
    graphics: GFX_256,
    palette: "vga",
  },
];

/** The mode of that number (bit 7 not included), or undefined when a VGA has no such mode. */
export function vgaMode(number: number): VgaMode | undefined {
  return MODES.find((mode) => mode.number === number);
}

/** Puts `value` into register `index` of the pair of ports at `port`. */
function set(bus: VgaBus, port: number, index: number, value: number): void {
  bus.out(port, index);
  bus.out(port + 1, value);
}

/**
 * Sets a mode: registers, palette, font (for text) and, unless `clear` is false, memory.
 *
 * @param bus The machine; the CRTC is addressed where the mode wants it.
 */
export function setVgaMode(bus: VgaBus, mode: VgaMode, { clear = true } = {}): void {
  const crtc = mode.miscOutput & Misc.ioAddressSelect ? 0x3d4 : 0x3b4;
  bus.out(0x3c3, 1);
  // Index with bit 5 clear: the screen stays dark until all is in place.
  bus.in(0x3ba);
  bus.in(0x3da);
  bus.out(0x3c0, 0);
  set(bus, 0x3c4, 0, 0x01);
  bus.out(0x3c2, mode.miscOutput);
  for (let i = 1; i < mode.sequencer.length; i++) {
    set(bus, 0x3c4, i, mode.sequencer[i] | (i === 1 ? SeqClocking.screenOff : 0));
  }
  set(bus, 0x3c4, 0, mode.sequencer[0]);

  set(bus, crtc, Crtc.verticalRetraceEnd, mode.crtc[Crtc.verticalRetraceEnd] & ~CRTC_PROTECT);
  for (const [index, value] of mode.crtc.entries()) set(bus, crtc, index, value);
  for (const [index, value] of mode.graphics.entries()) set(bus, 0x3ce, index, value);

  bus.in(crtc + 6);
  for (const [index, value] of [...mode.attribute, 0].entries()) {
    bus.out(0x3c0, index);
    bus.out(0x3c0, value);
  }
  bus.out(0x3c6, 0xff);
  bus.out(0x3c8, 0);
  for (const component of defaultPalette(mode.palette)) bus.out(0x3c9, component);

  if (mode.kind === "text") loadVgaFont(bus, vgaFont(mode.characterHeight));
  if (clear) clearMemory(bus, mode);
  bus.in(crtc + 6);
  bus.out(0x3c0, ATTR_PALETTE_SOURCE);
  set(bus, 0x3c4, 1, mode.sequencer[1]);
}

function clearMemory(bus: VgaBus, { kind, address }: VgaMode): void {
  const length = address === 0xa0000 ? 0x10000 : 0x8000;
  // Blanks, light grey on black.
  const fill = kind === "text" ? 0x0720_0720 : 0;
  for (let at = 0; at < length; at += 4) bus.write(address + at, 4, fill);
}

/**
 * Loads characters into map 2, where text modes find their font, and leaves the registers as text
 * modes have them; as INT 10h AX=1100h.
 *
 * @param block Which of the eight fonts in map 2, 0 to 7.
 * @param first First character to load.
 * @param count Characters to load, the first of `font` being `first`.
 */
export function loadVgaFont(
  bus: VgaBus,
  font: VgaFont,
  { block = 0, first = 0, count = 256 }: { block?: number; first?: number; count?: number } = {},
): void {
  const [mapMask, memoryMode] = [2, 4].map((index) => get(bus, 0x3c4, index));
  const [readMap, mode, miscellaneous] = [4, 5, 6].map((index) => get(bus, 0x3ce, index));
  set(bus, 0x3c4, 2, 0x04);
  set(bus, 0x3c4, 4, 0x06);
  set(bus, 0x3ce, 4, 0x02);
  set(bus, 0x3ce, 5, 0x00);
  set(bus, 0x3ce, 6, 0x04);
  // Blocks 0 to 3 begin every 16 KiB, blocks 4 to 7 half-way between.
  const base = 0xa0000 + ((block & 3) << 14) + ((block & 4) << 11);
  for (let i = 0; i < Math.min(count, 256 - first); i++) {
    for (let row = 0; row < 32; row++) {
      const dots = row < font.height ? font.rows[i * font.height + row] : 0;
      bus.write(base + (first + i) * 32 + row, 1, dots);
    }
  }
  set(bus, 0x3c4, 2, mapMask);
  set(bus, 0x3c4, 4, memoryMode);
  set(bus, 0x3ce, 4, readMap);
  set(bus, 0x3ce, 5, mode);
  set(bus, 0x3ce, 6, miscellaneous);
}

function get(bus: VgaBus, port: number, index: number): number {
  bus.out(port, index);
  return bus.in(port + 1);
}
