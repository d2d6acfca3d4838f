/** The text screen as text: what a terminal shows and what a test waits for. */

import { planeBase } from "../vga/memory.ts";
import { Attr, AttrMode, Crtc } from "../vga/registers.ts";
import { CP437 } from "./cp437.ts";
import { mapAddress, palette16, scanout, type VgaView } from "./scanout.ts";

/** CRTC cursor start: the cursor is off. */
const CURSOR_OFF = 0x20;

/** The cursor of a text screen. */
export interface TextCursor {
  /** Switched on and on the screen. */
  readonly isVisible: boolean;
  /** From 0. */
  readonly column: number;
  /** From 0. */
  readonly row: number;
  /** First line of the character cell that it covers. */
  readonly startLine: number;
  /** Last line of the character cell that it covers. */
  readonly endLine: number;
}

/** A text screen. */
export interface TextScreen {
  /** 1 to 256. */
  readonly columns: number;
  /** 1 to 1024. */
  readonly rows: number;
  /** Row by row: code in bits 0-7, attribute in bits 8-15. */
  readonly cells: Uint16Array;
  /** Where the cursor is. */
  readonly cursor: TextCursor;
  /** Lines of a character cell. */
  readonly cellLines: number;
  /** Attribute bit 7 blinks; otherwise it makes the background bright. */
  readonly blinks: boolean;
  /** Red, green, blue of the sixteen colours: 48 bytes. */
  readonly palette: Uint8Array;
}

/** The text screen, or undefined in graphics modes. */
export function textScreen(view: VgaView): TextScreen | undefined {
  const { state, memory } = view;
  const { isText, columns, lines, rowLines, isDoubled, start, pitch, lineCompare } = scanout(view);
  if (!isText) return undefined;

  const rowHeight = rowLines * (isDoubled ? 2 : 1);
  const rows = Math.max(1, Math.floor(lines / rowHeight));
  // Below the line compare the screen goes on with the beginning of memory.
  const splitRow = Math.ceil((lineCompare + 1) / rowHeight);
  const { layout, crtc } = state;
  const location = (crtc[Crtc.cursorLocationHigh] << 8) | crtc[Crtc.cursorLocationLow];
  let [cursorColumn, cursorRow] = [-1, -1];
  const cells = new Uint16Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    const counter = row < splitRow ? start + row * pitch : (row - splitRow) * pitch;
    for (let column = 0; column < columns; column++) {
      const at = (counter + column) & 0xffff;
      const base = planeBase(layout, mapAddress(state, at, 0));
      cells[row * columns + column] = memory[base] | (memory[base + 1] << 8);
      if (at === location) [cursorColumn, cursorRow] = [column, row];
    }
  }
  const startLine = crtc[Crtc.cursorStart] & 0x1f;
  const endLine = Math.min(crtc[Crtc.cursorEnd] & 0x1f, rowLines - 1);
  const isVisible = cursorRow >= 0 && (crtc[Crtc.cursorStart] & CURSOR_OFF) === 0 &&
    startLine <= endLine;
  return {
    columns,
    rows,
    cells,
    cursor: {
      isVisible,
      column: Math.max(0, cursorColumn),
      row: Math.max(0, cursorRow),
      startLine,
      endLine,
    },
    cellLines: rowLines,
    blinks: (state.attribute[Attr.modeControl] & AttrMode.blink) !== 0,
    palette: palette16(state),
  };
}

/** The rows as strings in Unicode, without the blanks at their ends. */
export function textLines({ columns, rows, cells }: TextScreen): string[] {
  return Array.from({ length: rows }, (_, row) => {
    let line = "";
    for (let column = 0; column < columns; column++) {
      line += CP437[cells[row * columns + column] & 0xff];
    }
    return line.trimEnd();
  });
}
