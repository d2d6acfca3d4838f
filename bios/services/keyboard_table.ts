/**
 * What the keys of a US keyboard mean to INT 16h: for each scan code (set 1), the word of the key
 * buffer (scan code high, character low) plain, with Shift, with Ctrl and with Alt; -1: none.
 *
 * Reference: IBM PS/2 and PC BIOS Interface Technical Reference, "Keyboard", table of key codes.
 */

/** Words of a key. */
export interface KeyWords {
  readonly plain: number;
  readonly shift: number;
  readonly control: number;
  readonly alt: number;
  /** Caps Lock exchanges plain and shift. */
  readonly letter: boolean;
  /** Num Lock exchanges plain and shift. */
  readonly keypad: boolean;
}

const keys = new Map<number, KeyWords>();
const extendedKeys = new Map<number, KeyWords>();

function key(scan: number, plain: number, shift: number, control: number, alt: number): void {
  keys.set(scan, { plain, shift, control, alt, letter: false, keypad: false });
}

function characters(firstScan: number, plain: string, shift: string): void {
  for (let i = 0; i < plain.length; i++) {
    const scan = firstScan + i;
    const high = scan << 8;
    const code = plain.charCodeAt(i);
    const letter = code >= 0x61 && code <= 0x7a;
    keys.set(scan, {
      plain: high | code,
      shift: high | shift.charCodeAt(i),
      control: letter ? high | (code & 0x1f) : -1,
      alt: high,
      letter,
      keypad: false,
    });
  }
}

function keypad(scan: number, digit: string, control: number, alternative: number): void {
  const high = scan << 8;
  const shift = high | digit.charCodeAt(0);
  const words = { control, letter: false };
  keys.set(scan, { ...words, plain: high, shift, alt: -1, keypad: true });
  const grey = high | 0xe0;
  if (alternative < 0) return;
  const greyControl = control | 0xe0;
  const alt = alternative;
  extendedKeys.set(scan, {
    ...words,
    plain: grey,
    shift: grey,
    control: greyControl,
    alt,
    keypad: false,
  });
}

key(0x01, 0x011b, 0x011b, 0x011b, 0x0100);
characters(0x02, "1234567890-=", "!@#$%^&*()_+");
for (let i = 0; i < 12; i++) { // Alt with the digits' row
  const scan = 0x02 + i;
  keys.set(scan, { ...keys.get(scan)!, alt: (0x78 + i) << 8 });
}
keys.set(0x03, { ...keys.get(0x03)!, control: 0x0300 });
keys.set(0x07, { ...keys.get(0x07)!, control: 0x071e });
keys.set(0x0c, { ...keys.get(0x0c)!, control: 0x0c1f });
key(0x0e, 0x0e08, 0x0e08, 0x0e7f, 0x0e00);
key(0x0f, 0x0f09, 0x0f00, 0x9400, 0xa500);
characters(0x10, "qwertyuiop[]", "QWERTYUIOP{}");
keys.set(0x1a, { ...keys.get(0x1a)!, control: 0x1a1b });
keys.set(0x1b, { ...keys.get(0x1b)!, control: 0x1b1d });
key(0x1c, 0x1c0d, 0x1c0d, 0x1c0a, 0x1c00);
characters(0x1e, "asdfghjkl;'`", 'ASDFGHJKL:"~');
characters(0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?");
keys.set(0x2b, { ...keys.get(0x2b)!, control: 0x2b1c });
key(0x37, 0x372a, 0x372a, 0x9600, 0x3700);
key(0x39, 0x3920, 0x3920, 0x3920, 0x3920);
for (let i = 0; i < 10; i++) { // F1 to F10
  key(0x3b + i, (0x3b + i) << 8, (0x54 + i) << 8, (0x5e + i) << 8, (0x68 + i) << 8);
}
key(0x57, 0x8500, 0x8700, 0x8900, 0x8b00);
key(0x58, 0x8600, 0x8800, 0x8a00, 0x8c00);
keypad(0x47, "7", 0x7700, 0x9700);
keypad(0x48, "8", 0x8d00, 0x9800);
keypad(0x49, "9", 0x8400, 0x9900);
key(0x4a, 0x4a2d, 0x4a2d, 0x8e00, 0x4a00);
keypad(0x4b, "4", 0x7300, 0x9b00);
keypad(0x4c, "5", 0x8f00, -1);
keypad(0x4d, "6", 0x7400, 0x9d00);
key(0x4e, 0x4e2b, 0x4e2b, 0x9000, 0x4e00);
keypad(0x4f, "1", 0x7500, 0x9f00);
keypad(0x50, "2", 0x9100, 0xa000);
keypad(0x51, "3", 0x7600, 0xa100);
keypad(0x52, "0", 0x9200, 0xa200);
keypad(0x53, ".", 0x9300, 0xa300);
key(0x56, 0x565c, 0x567c, -1, -1);
extendedKeys.set(0x1c, {
  plain: 0xe00d,
  shift: 0xe00d,
  control: 0xe00a,
  alt: 0xa600,
  letter: false,
  keypad: false,
});
extendedKeys.set(0x35, {
  plain: 0xe02f,
  shift: 0xe02f,
  control: 0x9500,
  alt: 0xa400,
  letter: false,
  keypad: false,
});

/** The words of a key by its scan code, `extended` when an E0h came before it. */
export function keyWords(scan: number, extended: boolean): KeyWords | undefined {
  return extended ? extendedKeys.get(scan) : keys.get(scan);
}
