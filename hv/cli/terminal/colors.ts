/** The sixteen colours of a text screen as a terminal's "select graphic rendition" parameters. */

/**
 * What the terminal can do: its own sixteen colours, the 256 of xterm, or any. With the last two the
 * guest's palette is shown as it is.
 */
export type ColorDepth = "16" | "256" | "truecolor";

/** VGA colours count blue, green, red; terminals count red, green, blue. */
const ANSI_ORDER = [0, 4, 2, 6, 1, 5, 3, 7];

/** Levels of xterm's colour cube. */
const CUBE = [0, 95, 135, 175, 215, 255];

/** What the environment variables COLORTERM and TERM say of the terminal. */
export function colorDepth({ COLORTERM, TERM }: { COLORTERM?: string; TERM?: string }): ColorDepth {
  if (COLORTERM === "truecolor" || COLORTERM === "24bit") return "truecolor";
  return TERM?.includes("256color") || TERM?.includes("direct") ? "256" : "16";
}

/** The nearest of xterm's colours 16 to 255 to red, green, blue (0 to 255 each). */
export function nearest256(red: number, green: number, blue: number): number {
  const step = (level: number) => level < 48 ? 0 : level < 115 ? 1 : Math.floor((level - 35) / 40);
  const distance = (r: number, g: number, b: number) =>
    (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
  const [r, g, b] = [step(red), step(green), step(blue)];
  const grey = Math.min(23, Math.max(0, Math.round(((red + green + blue) / 3 - 8) / 10)));
  const level = 8 + grey * 10;
  const isGreyNearer = distance(level, level, level) < distance(CUBE[r], CUBE[g], CUBE[b]);
  return isGreyNearer ? 232 + grey : 16 + 36 * r + 6 * g + b;
}

/**
 * The SGR sequence of a text attribute.
 *
 * @param attribute Foreground in bits 0-3, background in bits 4-6, bit 7 blink or bright background.
 * @param palette Red, green and blue of the sixteen colours, 8 bits each.
 */
export function attributeSgr(
  attribute: number,
  blinks: boolean,
  palette: Uint8Array,
  depth: ColorDepth,
): string {
  const blink = blinks && (attribute & 0x80) !== 0;
  const foreground = color(attribute & 0xf, 30, palette, depth);
  const background = color((attribute >> 4) & (blinks ? 7 : 0xf), 40, palette, depth);
  return `\x1b[0;${blink ? "5;" : ""}${foreground};${background}m`;
}

function color(index: number, base: 30 | 40, palette: Uint8Array, depth: ColorDepth): string {
  if (depth === "16") return String(base + ANSI_ORDER[index & 7] + (index & 8 ? 60 : 0));
  const [red, green, blue] = palette.subarray(index * 3, index * 3 + 3);
  return depth === "256"
    ? `${base + 8};5;${nearest256(red, green, blue)}`
    : `${base + 8};2;${red};${green};${blue}`;
}
