/** The built-in fonts: 256 characters of code page 437 in the three heights that a VGA's ROM has. */

import { FONT_ROWS } from "./font_data.ts";

/** A character generator's contents. */
export interface VgaFont {
  /** Rows of a character: 8, 14 or 16. */
  readonly height: number;
  /** `height` bytes a character, 256 characters; bit 7 is the leftmost dot. */
  readonly rows: Uint8Array;
}

function parse(column: number, height: number): VgaFont {
  const lines = FONT_ROWS.trim().split("\n");
  const rows = new Uint8Array(lines.length * height);
  for (const [character, line] of lines.entries()) {
    const hex = line.split(" ")[column];
    for (let row = 0; row < height; row++) {
      rows[character * height + row] = parseInt(hex.slice(row * 2, row * 2 + 2), 16);
    }
  }
  return { height, rows };
}

const cache = new Map<number, VgaFont>();

/** The built-in font of the given height in rows; parsed when it is first asked for. */
export function vgaFont(height: 8 | 14 | 16): VgaFont {
  let font = cache.get(height);
  if (font === undefined) {
    font = parse(height === 16 ? 1 : height === 14 ? 2 : 3, height);
    cache.set(height, font);
  }
  return font;
}
