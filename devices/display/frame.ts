/**
 * The picture on the screen as dots, one for each that the guest's mode has: 720x400 for text,
 * 320x200 for mode 13h, whatever the tube made of them.
 *
 * Left out: the border, byte panning beyond whole characters, and counting by two or four.
 */

import { planeBase, planeStrides } from "../vga/memory.ts";
import {
  Attr,
  AttrMode,
  Crtc,
  CrtcMode,
  Gfx,
  GfxMode,
  Seq,
  type VgaState,
} from "../vga/registers.ts";
import {
  is256,
  mapAddress,
  palette16,
  palette256,
  type Scanout,
  scanout,
  type VgaView,
} from "./scanout.ts";

/** A picture. */
export interface Frame {
  /** Dots in a line, at most 2304. */
  readonly width: number;
  /** Lines, at most 1024. */
  readonly height: number;
  /** Red, green, blue, alpha (always 255) of each dot, row by row. */
  readonly rgba: Uint8Array;
}

/** What blinks is shown or hidden. */
export interface BlinkPhase {
  /** The cursor; shown by default. */
  readonly cursor?: boolean;
  /** Characters with the blink attribute; shown by default. */
  readonly text?: boolean;
}

/** One line of dots, as colour numbers, with room for what panning pushes out. */
type LineDrawer = (line: Uint8Array, counter: number, rowScan: number) => void;

/** Renders the screen. */
export function renderFrame(view: VgaView, phase: BlinkPhase = {}): Frame {
  const { state } = view;
  const geometry = scanout(view);
  const { columns, lines, rowLines, isText, isDark, lineCompare } = geometry;
  const has256 = !isText && is256(state);
  const dots = isText ? geometry.dots : has256 ? 4 : 8;
  const width = columns * dots;

  // Lines that repeat the one above are not dots of the guest's.
  const usesRowScan = isText ||
    (state.crtc[Crtc.modeControl] & (CrtcMode.compatibility | CrtcMode.selectRowScan)) !==
      (CrtcMode.compatibility | CrtcMode.selectRowScan);
  const repeats = geometry.isDoubled ? 2 : 1;
  const step = repeats * (usesRowScan ? 1 : rowLines);
  const height = Math.max(1, Math.floor(lines / step));
  const rgba = new Uint8Array(width * height * 4);
  const out = new Uint32Array(rgba.buffer);
  const colors = packColors(has256 ? palette256(state) : palette16(state));
  if (isDark) return { width, height, rgba: new Uint8Array(out.fill(colors.black).buffer) };

  const draw = isText ? textDrawer(view, geometry, phase) : graphicsDrawer(view, columns + 1);
  const line = new Uint8Array((columns + 1) * dots);
  let panning = panningDots(state, dots);
  let counter = geometry.start + ((state.crtc[Crtc.presetRowScan] >> 5) & 3);
  let rowScan = state.crtc[Crtc.presetRowScan] & 0x1f;
  for (let y = 0; y < height * step; y++) {
    if (y % step === 0) {
      draw(line, counter, rowScan);
      const at = (y / step) * width;
      for (let x = 0; x < width; x++) out[at + x] = colors.packed[line[x + panning]];
    }
    if (y === lineCompare) {
      counter = 0;
      rowScan = 0;
      if (state.attribute[Attr.modeControl] & AttrMode.panningCompatible) panning = 0;
    } else if ((y + 1) % repeats === 0 && ++rowScan >= rowLines) {
      rowScan = 0;
      counter = (counter + geometry.pitch) & 0xffff;
    }
  }
  return { width, height, rgba };
}

function packColors(rgb: Uint8Array): { packed: Uint32Array; black: number } {
  const bytes = new Uint8Array((rgb.length / 3) * 4);
  for (let i = 0; i < rgb.length / 3; i++) {
    bytes.set([rgb[i * 3], rgb[i * 3 + 1], rgb[i * 3 + 2], 255], i * 4);
  }
  const [black] = new Uint32Array(Uint8Array.of(0, 0, 0, 255).buffer);
  return { packed: new Uint32Array(bytes.buffer), black };
}

/** How many dots the picture is shifted left (attribute controller, "Horizontal PEL Panning"). */
function panningDots({ attribute }: VgaState, dots: number): number {
  const panning = attribute[Attr.horizontalPanning] & 0xf;
  if (dots === 9) return panning >= 8 ? 0 : panning + 1;
  return dots === 4 ? (panning >> 1) & 3 : panning & 7;
}

function textDrawer(view: VgaView, { columns, dots }: Scanout, phase: BlinkPhase): LineDrawer {
  const { state, memory } = view;
  const { crtc, attribute, sequencer, layout } = state;
  const mode = attribute[Attr.modeControl];
  const font = planeStrides(layout)[2];
  const select = sequencer[Seq.characterMapSelect];
  // Map A is for characters whose attribute bit 3 is set, map B for the others.
  const fonts = [
    fontAddress((select & 3) | ((select & 0x10) >> 2)),
    fontAddress(((select >> 2) & 3) | ((select & 0x20) >> 3)),
  ];
  const underline = crtc[Crtc.underlineLocation] & 0x1f;
  const cursor = (crtc[Crtc.cursorLocationHigh] << 8) | crtc[Crtc.cursorLocationLow];
  const cursorStart = crtc[Crtc.cursorStart] & 0x1f;
  const cursorEnd = crtc[Crtc.cursorEnd] & 0x1f;
  const showsCursor = (phase.cursor ?? true) && (crtc[Crtc.cursorStart] & 0x20) === 0;
  const blinks = (mode & AttrMode.blink) !== 0;
  const showsBlinking = phase.text ?? true;

  return (line, counter, rowScan) => {
    for (let column = 0; column <= columns; column++) {
      const at = (counter + column) & 0xffff;
      const base = planeBase(layout, mapAddress(state, at, rowScan));
      const [character, attributes] = [memory[base], memory[base + 1]];
      const glyph = fonts[(attributes >> 3) & 1] + character * 32 + rowScan;
      let bits = memory[planeBase(layout, glyph & 0xffff) + font] << 1;
      // The ninth dot is background, but line drawing characters go on.
      if (mode & AttrMode.lineGraphics && (character & 0xe0) === 0xc0) bits |= (bits >> 1) & 1;
      if (rowScan === underline && (attributes & 7) === 1) bits = 0x1ff;
      if (blinks && attributes & 0x80 && !showsBlinking) bits = 0;
      if (showsCursor && at === cursor && rowScan >= cursorStart && rowScan <= cursorEnd) {
        bits = 0x1ff;
      }
      const foreground = attributes & 0xf;
      const background = (attributes >> 4) & (blinks ? 7 : 0xf);
      for (let dot = 0; dot < dots; dot++) {
        line[column * dots + dot] = bits & (0x100 >> dot) ? foreground : background;
      }
    }
  };
}

/** Fonts 0 to 3 begin every 16 KiB of map 2, fonts 4 to 7 half-way between. */
function fontAddress(font: number): number {
  return ((font & 3) << 14) | ((font & 4) << 11);
}

function graphicsDrawer({ state, memory }: VgaView, clocks: number): LineDrawer {
  const { layout } = state;
  const [, s1, s2, s3] = planeStrides(layout);
  const mode = state.graphics[Gfx.mode];
  return (line, counter, rowScan) => {
    for (let clock = 0, x = 0; clock < clocks; clock++) {
      const base = planeBase(layout, mapAddress(state, (counter + clock) & 0xffff, rowScan));
      const [m0, m1, m2, m3] = [
        memory[base],
        memory[base + s1],
        memory[base + s2],
        memory[base + s3],
      ];
      if (mode & GfxMode.shift256) {
        line[x++] = m0;
        line[x++] = m1;
        line[x++] = m2;
        line[x++] = m3;
      } else if (mode & GfxMode.shiftInterleave) {
        // Two dots' bits are neighbours: four dots of maps 0 and 2, then four of 1 and 3.
        for (let shift = 6; shift >= 0; shift -= 2) {
          line[x++] = ((m0 >> shift) & 3) | (((m2 >> shift) & 3) << 2);
        }
        for (let shift = 6; shift >= 0; shift -= 2) {
          line[x++] = ((m1 >> shift) & 3) | (((m3 >> shift) & 3) << 2);
        }
      } else {
        for (let bit = 7; bit >= 0; bit--) {
          line[x++] = ((m0 >> bit) & 1) | (((m1 >> bit) & 1) << 1) | (((m2 >> bit) & 1) << 2) |
            (((m3 >> bit) & 1) << 3);
        }
      }
    }
  };
}
