/**
 * A guest's text screen on the host's terminal: what to write so that the terminal shows the next
 * screen after the last one. Pure: the caller asks for the screen, writes the string, and tells of
 * changes in the terminal's size.
 */

import { CP437 } from "../../../devices/display/cp437.ts";
import type { TextScreen } from "../../../devices/display/text_screen.ts";
import { attributeSgr, type ColorDepth } from "./colors.ts";

/** The host's terminal. */
export interface TerminalSize {
  /** Characters in a line. */
  readonly columns: number;
  /** Lines. */
  readonly rows: number;
  /** Which colours it has. */
  readonly colors: ColorDepth;
}

/** Takes the terminal over: second screen, no wrapping at the end of a line, blank. */
export const TERMINAL_ENTER = "\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[0m\x1b[2J";
/** Gives the terminal back as it was. */
export const TERMINAL_LEAVE = "\x1b[0m\x1b[0 q\x1b[?7h\x1b[?25h\x1b[?1049l";

/** Unchanged cells between changed ones that are cheaper to write again than to jump over. */
const GAP = 6;

const moveTo = (column: number, row: number) => `\x1b[${row + 1};${column + 1}H`;

/** First row shown of a screen that is higher than the terminal: the cursor stays in sight. */
function topRow({ rows, cursor }: TextScreen, terminalRows: number): number {
  if (rows <= terminalRows || !cursor.isVisible) return 0;
  return Math.max(0, Math.min(cursor.row - terminalRows + 1, rows - terminalRows));
}

function isSameLook(a: TextScreen, b: TextScreen): boolean {
  return a.columns === b.columns && a.rows === b.rows && a.blinks === b.blinks &&
    a.palette.every((level, i) => level === b.palette[i]);
}

/**
 * What turns a terminal that shows `previous` into one that shows `next`; what does not fit is left
 * out. Empty when nothing is different.
 *
 * @param previous Undefined when the terminal shows something else: everything is written.
 */
export function terminalUpdate(
  previous: TextScreen | undefined,
  next: TextScreen,
  size: TerminalSize,
): string {
  const top = topRow(next, size.rows);
  const known = previous !== undefined && isSameLook(previous, next) &&
      topRow(previous, size.rows) === top
    ? previous
    : undefined;
  let out = known === undefined ? "\x1b[0m\x1b[2J" : "";
  let attribute = -1;
  for (let row = 0; row < Math.min(next.rows - top, size.rows); row++) {
    const start = (top + row) * next.columns;
    const width = Math.min(next.columns, size.columns);
    for (let column = 0; column < width;) {
      const end = changedUntil(known?.cells, next.cells, start, column, width);
      if (end === column) {
        column++;
        continue;
      }
      out += moveTo(column, row);
      for (; column < end; column++) {
        const cell = next.cells[start + column];
        if (cell >> 8 !== attribute) {
          attribute = cell >> 8;
          out += attributeSgr(attribute, next.blinks, next.palette, size.colors);
        }
        out += CP437[cell & 0xff];
      }
    }
  }
  const cursor = cursorAt(next, size, top);
  if (out === "" && cursor === cursorAt(known!, size, top)) return "";
  return (out === "" ? "" : `\x1b[?25l${out}`) + cursor;
}

/** End of the run of changed cells that begins at `column`; `column` when that one is unchanged. */
function changedUntil(
  old: Uint16Array | undefined,
  cells: Uint16Array,
  start: number,
  column: number,
  width: number,
): number {
  if (old === undefined) return width;
  let end = column;
  for (let at = column; at < width && at - end < GAP; at++) {
    if (old[start + at] !== cells[start + at]) end = at + 1;
    else if (at === column) return column;
  }
  return end;
}

/** Puts the terminal's cursor where the guest's is and makes it as high, or hides it. */
function cursorAt({ cursor, cellLines }: TextScreen, size: TerminalSize, top: number): string {
  const [column, row] = [cursor.column, cursor.row - top];
  const isShown = cursor.isVisible && column < size.columns && row >= 0 && row < size.rows;
  if (!isShown) return "\x1b[?25l";
  const isBlock = cursor.endLine - cursor.startLine + 1 > cellLines / 2;
  return `${moveTo(column, row)}\x1b[${isBlock ? 1 : 3} q\x1b[?25h`;
}

/** A terminal on which a guest's screen is shown, and what it shows now. */
export class TerminalScreen {
  #size: TerminalSize;
  #shown: TextScreen | string | undefined;

  /** @param size The terminal now; see `resize`. */
  constructor(size: TerminalSize) {
    this.#size = size;
  }

  /** The terminal has another size now; the next `draw` writes everything. */
  resize(columns: number, rows: number): void {
    this.#size = { ...this.#size, columns, rows };
    this.#shown = undefined;
  }

  /** Something else has been written to the terminal; the next `draw` writes everything. */
  forget(): void {
    this.#shown = undefined;
  }

  /**
   * What to write to the terminal so that it shows `screen`, or in its place a line of text (that
   * the guest is in a graphics mode, say). Empty when that is what it shows.
   */
  draw(screen: TextScreen | string): string {
    const shown = this.#shown;
    this.#shown = screen;
    if (typeof screen !== "string") {
      return terminalUpdate(typeof shown === "string" ? undefined : shown, screen, this.#size);
    }
    if (shown === screen) return "";
    const { columns, rows } = this.#size;
    const line = [...screen].slice(0, columns).join("");
    const column = Math.floor((columns - [...line].length) / 2);
    return `\x1b[?25l\x1b[0m\x1b[2J${moveTo(column, rows >> 1)}${line}`;
  }
}
