/**
 * What the registers say about the way from memory to the screen: geometry, addresses and colours.
 * Pure functions over the VGA's state and memory, for whoever shows or photographs the screen.
 */

import {
  Attr,
  ATTR_PALETTE_SOURCE,
  AttrMode,
  Crtc,
  CRTC_DOUBLEWORD,
  CrtcMode,
  Gfx,
  GfxMisc,
  GfxMode,
  Seq,
  SeqClocking,
  type VgaState,
} from "../vga/registers.ts";

/** What there is to look at: a `Vga`, or a copy of its state and memory. */
export interface VgaView {
  /** The registers. */
  readonly state: VgaState;
  /** The four maps, as vga/memory.ts lays them out. */
  readonly memory: Uint8Array;
}

/** The geometry of the picture. */
export interface Scanout {
  /** Characters rather than dots. */
  readonly isText: boolean;
  /** Switched off, as during a mode set: nothing but black is shown. */
  readonly isDark: boolean;
  /** Character clocks in a line, 1 to 256. */
  readonly columns: number;
  /** Lines of the picture on the tube, 1 to 1024. */
  readonly lines: number;
  /** Lines of a character row, 1 to 32. */
  readonly rowLines: number;
  /** Each line is shown twice. */
  readonly isDoubled: boolean;
  /** Memory counter at the top left. */
  readonly start: number;
  /** What the memory counter gains from one row to the next. */
  readonly pitch: number;
  /** The line after which the picture goes on from counter 0. */
  readonly lineCompare: number;
  /** Dots of a character, 8 or 9. */
  readonly dots: number;
}

/** Reads the geometry out of the registers; any values give one within the bounds above. */
export function scanout({ state }: VgaView): Scanout {
  const { crtc, sequencer, graphics, attributeIndex } = state;
  const overflow = crtc[Crtc.overflow];
  const maximum = crtc[Crtc.maximumScanLine];
  const isOn = state.enabled && (attributeIndex & ATTR_PALETTE_SOURCE) !== 0 &&
    (sequencer[Seq.clockingMode] & SeqClocking.screenOff) === 0 &&
    (sequencer[Seq.reset] & 3) === 3 && (crtc[Crtc.modeControl] & CrtcMode.enable) !== 0;
  return {
    isText: (graphics[Gfx.miscellaneous] & GfxMisc.graphics) === 0,
    isDark: !isOn,
    columns: crtc[Crtc.horizontalDisplayEnd] + 1,
    lines: (crtc[Crtc.verticalDisplayEnd] | ((overflow & 0x02) << 7) | ((overflow & 0x40) << 3)) +
      1,
    rowLines: (maximum & 0x1f) + 1,
    isDoubled: (maximum & 0x80) !== 0,
    start: (crtc[Crtc.startAddressHigh] << 8) | crtc[Crtc.startAddressLow],
    pitch: crtc[Crtc.offset] * 2,
    lineCompare: crtc[Crtc.lineCompare] | ((overflow & 0x10) << 4) | ((maximum & 0x40) << 3),
    dots: sequencer[Seq.clockingMode] & SeqClocking.dots8 ? 8 : 9,
  };
}

/**
 * Address in the maps for a value of the memory counter (CRTC "Mode Control Register").
 *
 * @param rowScan Line within the character row, which CGA and Hercules modes put into the address.
 */
export function mapAddress(state: VgaState, counter: number, rowScan: number): number {
  const { crtc } = state;
  const mode = crtc[Crtc.modeControl];
  let address: number;
  if (crtc[Crtc.underlineLocation] & CRTC_DOUBLEWORD) {
    address = (counter << 2) | ((counter >> 14) & 3);
  } else if (mode & CrtcMode.byteMode) {
    address = counter;
  } else {
    address = (counter << 1) | ((counter >> (mode & CrtcMode.addressWrap ? 15 : 13)) & 1);
  }
  if ((mode & CrtcMode.compatibility) === 0) {
    address = (address & ~0x2000) | ((rowScan & 1) << 13);
  }
  if ((mode & CrtcMode.selectRowScan) === 0) {
    address = (address & ~0x4000) | ((rowScan & 2) << 13);
  }
  return address & 0xffff;
}

/** Index in the palette of each of the sixteen attribute colours. */
function attributeColors({ attribute, dacMask }: VgaState): number[] {
  const select = attribute[Attr.colorSelect];
  const enabled = attribute[Attr.colorPlaneEnable] & 0xf;
  const replaces45 = (attribute[Attr.modeControl] & AttrMode.select45) !== 0;
  return Array.from({ length: 16 }, (_, color) => {
    let index = attribute[color & enabled] & 0x3f;
    if (replaces45) index = (index & 0xf) | ((select & 3) << 4);
    return (index | ((select & 0xc) << 4)) & dacMask;
  });
}

const widen = (level: number) => (level << 2) | (level >> 4);

/** Red, green and blue, 8 bits each, of the sixteen attribute colours: 48 bytes. */
export function palette16(state: VgaState): Uint8Array {
  const rgb = new Uint8Array(48);
  for (const [color, index] of attributeColors(state).entries()) {
    for (let i = 0; i < 3; i++) rgb[color * 3 + i] = widen(state.dac[index * 3 + i] & 0x3f);
  }
  return rgb;
}

/** Red, green and blue, 8 bits each, of the 256 colours of the 8-bit modes. */
export function palette256({ dac, dacMask }: VgaState): Uint8Array {
  const rgb = new Uint8Array(768);
  for (let color = 0; color < 256; color++) {
    for (let i = 0; i < 3; i++) rgb[color * 3 + i] = widen(dac[(color & dacMask) * 3 + i] & 0x3f);
  }
  return rgb;
}

/** Does the shift register give 8 bits a dot? */
export function is256(state: VgaState): boolean {
  return (state.graphics[Gfx.mode] & GfxMode.shift256) !== 0;
}
