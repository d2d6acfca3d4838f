/**
 * The registers of the VGA, bit by bit, and the record that holds them.
 *
 * Names follow the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem" (1988).
 */

import { bytes, flag, record, u16, u32, u8 } from "../../hv/core/state/record.ts";

/** First port of the chip's range; mono CRTC at 3B4h, colour CRTC at 3D4h. */
export const VGA_PORT_BASE = 0x3b0;

/** Miscellaneous output register, 3C2h W, 3CCh R. */
export const Misc = {
  /** CRTC and status at 3Dxh rather than 3Bxh. */
  ioAddressSelect: 0x01,
  enableRam: 0x02,
  /** 0: 25.175 MHz, 1: 28.322 MHz. */
  clockSelect: 0x0c,
} as const;

/** Sequencer, index 3C4h, data 3C5h. */
export const Seq = { reset: 0, clockingMode: 1, mapMask: 2, characterMapSelect: 3, memoryMode: 4 };
/** Sequencer, clocking mode. */
export const SeqClocking = {
  /** Characters of 8 dots rather than 9. */
  dots8: 0x01,
  /** The dot clock is halved. */
  dotClockHalf: 0x08,
  screenOff: 0x20,
} as const;
/** Sequencer, memory mode. */
export const SeqMemory = {
  /** Set: sequential addresses in a map; clear: even addresses in maps 0 and 2, odd in 1 and 3. */
  sequential: 0x04,
  chain4: 0x08,
} as const;

/** Graphics controller, index 3CEh, data 3CFh. */
export const Gfx = {
  setReset: 0,
  enableSetReset: 1,
  colorCompare: 2,
  dataRotate: 3,
  readMapSelect: 4,
  mode: 5,
  miscellaneous: 6,
  colorDontCare: 7,
  bitMask: 8,
};
/** Graphics controller, mode. */
export const GfxMode = {
  writeMode: 0x03,
  readMode: 0x08,
  oddEven: 0x10,
  shiftInterleave: 0x20,
  shift256: 0x40,
} as const;
/** Graphics controller, miscellaneous. */
export const GfxMisc = {
  graphics: 0x01,
  chainOddEven: 0x02,
  /** 0: A0000h 128K, 1: A0000h 64K, 2: B0000h 32K, 3: B8000h 32K. */
  memoryMap: 0x0c,
} as const;

/** CRT controller, index 3B4h or 3D4h, data 3B5h or 3D5h. */
export const Crtc = {
  horizontalTotal: 0x00,
  horizontalDisplayEnd: 0x01,
  verticalTotal: 0x06,
  overflow: 0x07,
  presetRowScan: 0x08,
  maximumScanLine: 0x09,
  cursorStart: 0x0a,
  cursorEnd: 0x0b,
  startAddressHigh: 0x0c,
  startAddressLow: 0x0d,
  cursorLocationHigh: 0x0e,
  cursorLocationLow: 0x0f,
  verticalRetraceStart: 0x10,
  verticalRetraceEnd: 0x11,
  verticalDisplayEnd: 0x12,
  offset: 0x13,
  underlineLocation: 0x14,
  modeControl: 0x17,
  lineCompare: 0x18,
};
/** CRT controller, vertical retrace end: registers 0 to 7 are read-only. */
export const CRTC_PROTECT = 0x80;
/** CRT controller, mode control. */
export const CrtcMode = {
  /** Clear: row scan bit 0 takes the place of address bit 13 (as on the CGA). */
  compatibility: 0x01,
  /** Clear: row scan bit 1 takes the place of address bit 14 (as on the Hercules). */
  selectRowScan: 0x02,
  addressWrap: 0x20,
  byteMode: 0x40,
  /** Clear: no retrace, the screen is dark. */
  enable: 0x80,
} as const;
/** CRT controller, underline location. */
export const CRTC_DOUBLEWORD = 0x40;

/** Attribute controller, index and data at 3C0h in turn, read at 3C1h. */
export const Attr = {
  palette: 0x00,
  modeControl: 0x10,
  overscan: 0x11,
  colorPlaneEnable: 0x12,
  horizontalPanning: 0x13,
  colorSelect: 0x14,
};
/** Attribute controller, index: the palette is the display's, not the processor's. */
export const ATTR_PALETTE_SOURCE = 0x20;
/** Attribute controller, mode control. */
export const AttrMode = {
  graphics: 0x01,
  /** Monochrome emulation: attributes as on the MDA. */
  mono: 0x02,
  /** The ninth dot of C0h-DFh repeats the eighth. */
  lineGraphics: 0x04,
  /** Attribute bit 7 blinks rather than brightens. */
  blink: 0x08,
  /** Panning is 0 below the line compare. */
  panningCompatible: 0x20,
  color256: 0x40,
  /** Palette bits 5 and 4 come from the colour select register. */
  select45: 0x80,
} as const;

/** Input status 1, 3BAh or 3DAh R. */
export const Status1 = {
  /** Nothing is displayed just now: either retrace, or a border. */
  displayDisabled: 0x01,
  verticalRetrace: 0x08,
} as const;

/** How the four maps lie in the video memory (see memory.ts). */
export const VgaLayout = { oddEven: 0, chain4: 1 } as const;

/**
 * What an access to the window does under the present registers: anything, or just what RAM does if
 * the maps lie in memory as layout (this - 1) has it.
 */
export const VgaPlain = { no: 0, oddEven: 1, chain4: 2 } as const;

/** Number of registers that a write reaches. */
export const REGISTERS = { sequencer: 5, graphics: 9, crtc: 0x19, attribute: 0x15 } as const;

/** State of the VGA, apart from its memory. */
export const VgaState = record("vga", 1, {
  /** 3C3h bit 0: the chip answers at all. */
  enabled: flag,
  miscOutput: u8,
  featureControl: u8,
  sequencerIndex: u8,
  sequencer: bytes(8),
  graphicsIndex: u8,
  graphics: bytes(16),
  crtcIndex: u8,
  crtc: bytes(32),
  attributeIndex: u8,
  /** The next write to 3C0h is data. */
  attributeFlipFlop: flag,
  attribute: bytes(32),
  dacMask: u8,
  /** As read at 3C7h: 0 after a write address, 3 after a read address was set. */
  dacState: u8,
  dacReadIndex: u8,
  dacWriteIndex: u8,
  /** 0 red, 1 green, 2 blue: what 3C9h reads or writes next. */
  dacComponent: u8,
  /** Red and green that wait for blue. */
  dacPending: bytes(2),
  /** 256 times red, green, blue, 6 bits each. */
  dac: bytes(768),
  /** The latches; byte n is map n. */
  latches: u32,
  /** One of `VgaLayout`. */
  layout: u8,
  /** One of `VgaPlain`: follows from the registers, kept because every access asks. */
  plain: u8,
  /** The window is mapped as RAM: none of its accesses comes here. */
  mapped: flag,
  /** Accesses to the window since it could have been mapped. */
  plainAccesses: u16,
  /** Counts (mod 2^32) what may have changed the picture; not what a mapped window's user does. */
  changes: u32,
});
/** A view of `VgaState`. */
export type VgaState = InstanceType<typeof VgaState>;
