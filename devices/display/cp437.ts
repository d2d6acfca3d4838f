/** Code page 437, the characters of a PC's text screen, in Unicode. */

/** 00h-1Fh and 7Fh show pictures, not controls; 00h and FFh are blank. */
const LOW = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
const HIGH = "⌂" +
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»" +
  "░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
  "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

/** The character that code n shows, by n; each is one UTF-16 unit. */
export const CP437: readonly string[] = [
  ...LOW,
  ...Array.from({ length: 0x7f - 0x20 }, (_, i) => String.fromCharCode(0x20 + i)),
  ...HIGH,
];

const CODES = new Map(CP437.map((character, code) => [character, code] as const));
CODES.set(" ", 0x20);

/** The code that shows `character`, or undefined when code page 437 does not have it. */
export function toCp437(character: string): number | undefined {
  return CODES.get(character);
}
