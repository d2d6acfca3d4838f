/** Where the beam is: input status 1, from guest time and the CRT controller's registers. */

import { Crtc, Misc, Seq, SeqClocking, Status1, type VgaState } from "./registers.ts";

const DOT_CLOCK_HZ = [25_175_000, 28_322_000];

/** The raster that the registers describe. */
export interface VgaRaster {
  /** Duration of a character clock, ns. */
  readonly characterNs: number;
  /** Character clocks of a line, and those of them that are displayed. */
  readonly totalCharacters: number;
  readonly displayedCharacters: number;
  /** Lines of a frame, those of them that are displayed, and where vertical retrace begins. */
  readonly totalLines: number;
  readonly displayedLines: number;
  readonly retraceLine: number;
  /** Lines that vertical retrace lasts, 1 to 16. */
  readonly retraceLines: number;
}

/** Reads the raster out of the registers; any values give a raster of at least 2 lines. */
export function vgaRaster(state: VgaState): VgaRaster {
  const { crtc, sequencer, miscOutput } = state;
  const overflow = crtc[Crtc.overflow];
  const high = (bit8: number, bit9: number) =>
    (((overflow >> bit8) & 1) << 8) | (((overflow >> bit9) & 1) << 9);
  const clocking = sequencer[Seq.clockingMode];
  const dots = (clocking & SeqClocking.dots8 ? 8 : 9) *
    (clocking & SeqClocking.dotClockHalf ? 2 : 1);
  const dotClockHz = DOT_CLOCK_HZ[(miscOutput & Misc.clockSelect) === 4 ? 1 : 0];
  const retraceLine = crtc[Crtc.verticalRetraceStart] | high(2, 7);
  return {
    characterNs: dots * 1e9 / dotClockHz,
    totalCharacters: crtc[Crtc.horizontalTotal] + 5,
    displayedCharacters: crtc[Crtc.horizontalDisplayEnd] + 1,
    totalLines: (crtc[Crtc.verticalTotal] | high(0, 5)) + 2,
    displayedLines: (crtc[Crtc.verticalDisplayEnd] | high(1, 6)) + 1,
    retraceLine,
    // Retrace ends when the line's low four bits are those of the register.
    retraceLines: ((crtc[Crtc.verticalRetraceEnd] - retraceLine) & 0xf) || 16,
  };
}

/** Input status 1 at guest time `nowNs`. */
export function inputStatus1(state: VgaState, nowNs: number): number {
  const raster = vgaRaster(state);
  const lineNs = raster.totalCharacters * raster.characterNs;
  const inFrameNs = nowNs % (raster.totalLines * lineNs);
  const line = Math.floor(inFrameNs / lineNs);
  const character = Math.floor((inFrameNs - line * lineNs) / raster.characterNs);
  const isRetrace = line >= raster.retraceLine && line < raster.retraceLine + raster.retraceLines;
  const isDark = line >= raster.displayedLines || character >= raster.displayedCharacters;
  return (isRetrace ? Status1.verticalRetrace : 0) |
    (isRetrace || isDark ? Status1.displayDisabled : 0);
}
