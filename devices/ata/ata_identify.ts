/**
 * The 512 bytes that IDENTIFY DEVICE and IDENTIFY PACKET DEVICE give: ATA/ATAPI-6 (T13 1410D), 8.15
 * and 8.16. A drive's own words are laid over what all drives here have in common.
 */

/** What a drive says of itself, in ASCII. */
export interface DriveIdentity {
  /** At most 40 characters. */
  readonly model: string;
  /** At most 20 characters. */
  readonly serial: string;
  /** At most 8 characters. */
  readonly firmware: string;
}

/** Transfer modes chosen with SET FEATURES 03h, one bit each; at most one bit of both is set. */
export interface DmaModes {
  readonly multiword: number;
  readonly ultra: number;
}

/** Multiword DMA 0-2 and Ultra DMA 0-5. */
export const MULTIWORD_MODES = 0x07;
/** See `MULTIWORD_MODES`. */
export const ULTRA_MODES = 0x3f;
const ATA_4_TO_7 = 0x00f0;
const LENGTH = 512;

/** Writes `text`, padded with blanks to `length` bytes, first character in the high byte of a word. */
function putText(out: Uint8Array, word: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x20;
    out[(word * 2 + i) ^ 1] = code >= 0x20 && code < 0x7f ? code : 0x20;
  }
}

/** Fills the first 512 bytes of `out`. */
export function writeIdentify(
  out: Uint8Array,
  { identity, dma, isDevice1, words }: {
    identity: DriveIdentity;
    dma: DmaModes;
    /** Is it the second drive on its cable? */
    isDevice1: boolean;
    /** Words by number that are this drive's own. */
    words: Readonly<Record<number, number>>;
  },
): void {
  out.fill(0, 0, LENGTH);
  const put = (word: number, value: number) => {
    out[word * 2] = value;
    out[word * 2 + 1] = value >> 8;
  };
  putText(out, 10, 20, identity.serial);
  putText(out, 23, 8, identity.firmware);
  putText(out, 27, 40, identity.model);
  // Word 48: double words through the data register, as ATA-1 had it and drivers still ask.
  put(48, 0x0001);
  // Words 51 and 52: PIO and DMA timing mode 2. Word 53: words 54-58, 64-70 and 88 are valid.
  put(51, 0x0200);
  put(52, 0x0200);
  put(53, 0x0007);
  put(63, MULTIWORD_MODES | (dma.multiword << 8));
  // Word 64: PIO modes 3 and 4. Words 65-68: cycle times of 120 ns.
  put(64, 0x0003);
  for (const word of [65, 66, 67, 68]) put(word, 120);
  put(80, ATA_4_TO_7);
  put(88, ULTRA_MODES | (dma.ultra << 8));
  // Word 93: 80-conductor cable; how the drive found out its number: by a jumper.
  put(93, isDevice1 ? 0x6b00 : 0x600b);
  for (const [word, value] of Object.entries(words)) put(Number(word), value);
  // Word 255: signature A5h and what makes the sum of all bytes zero.
  out[510] = 0xa5;
  let sum = 0;
  for (let i = 0; i < LENGTH - 1; i++) sum += out[i];
  out[511] = -sum;
}

/**
 * The modes after SET FEATURES 03h with the Sector Count `mode` (8.46, table 47), or undefined when
 * the drive has no such mode.
 */
export function chooseMode(mode: number, now: DmaModes): DmaModes | undefined {
  const number = mode & 7;
  switch (mode >> 3) {
    case 0: // PIO default
      return number <= 1 ? now : undefined;
    case 1: // PIO with flow control
      return number <= 4 ? now : undefined;
    case 4:
      return (MULTIWORD_MODES >> number) & 1 ? { multiword: 1 << number, ultra: 0 } : undefined;
    case 8:
      return (ULTRA_MODES >> number) & 1 ? { multiword: 0, ultra: 1 << number } : undefined;
    default:
      return undefined;
  }
}
