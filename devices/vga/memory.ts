/**
 * The VGA's memory: four maps of 64 KiB behind the window A0000h-BFFFFh, with the paths between
 * them and the processor that the graphics controller and the sequencer select.
 *
 * References: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": "Video Memory
 * Organization", "Graphics Controller Registers", "Memory Mode Register".
 *
 * How the maps lie in the 256 KiB. In the plain modes (text, and 256 colours chained) a guest
 * address is a byte of one map, and the guest's view can be the memory itself if the bytes lie in
 * its order. So byte `address` of map `plane` lies at
 *
 *   layout oddEven   plane >> 1 << 17 | (address & 1) << 16 | address & FFFEh | plane & 1
 *   layout chain4    (address & 3) << 16 | address & FFFCh | plane
 *
 * Odd/even addressing reaches even addresses of maps 0 and 1, chain 4 every fourth address: both are
 * then the identity, also in the 128 KiB window, where A16 takes the place of A0. Anything else is
 * a matter of a base and of four strides. Only changing between the two layouts moves bytes, and
 * that happens no sooner than the other kind of plain mode has been used for a while.
 *
 * Left out: the odd/even page select of the miscellaneous output register (always the page that the
 * BIOS selects), and the 64 KiB limit of the memory mode register's extended memory bit.
 */

import { Gfx, GfxMisc, GfxMode, Misc, Seq, SeqMemory, VgaLayout, VgaPlain } from "./registers.ts";
import type { VgaState } from "./registers.ts";

/** Size of the four maps together, bytes. */
export const VGA_MEMORY_BYTES = 0x4_0000;
/** Where the window begins, guest-physical. */
export const VGA_WINDOW_BASE = 0xa_0000;
/** Size of the window, bytes. */
export const VGA_WINDOW_BYTES = 0x2_0000;

/** Start and length within the window, by memory map select. */
const WINDOWS = [[0, 0x2_0000], [0, 0x1_0000], [0x1_0000, 0x8000], [0x1_8000, 0x8000]] as const;

/** Distance of each map's byte from that of map 0, by layout. */
const STRIDES = [[0, 1, 0x2_0000, 0x2_0001], [0, 1, 2, 3]] as const;

/** Four bits, each made the byte of its map. */
const EXPANDED = Int32Array.from(
  { length: 16 },
  (_, bits) => [0, 1, 2, 3].reduce((all, n) => all | ((bits >> n) & 1 ? 0xff << (n * 8) : 0), 0),
);

/** Where the byte of map 0 at `address` lies; those of the other maps follow at `planeStrides`. */
export function planeBase(layout: number, address: number): number {
  return layout === VgaLayout.chain4
    ? ((address & 3) << 16) | (address & 0xfffc)
    : ((address & 1) << 16) | (address & 0xfffe);
}

/** See `planeBase`. */
export function planeStrides(layout: number): readonly number[] {
  return STRIDES[layout & 1];
}

/** A part of guest-physical memory that can be the video memory itself. */
export interface LinearWindow {
  /** Guest-physical address, page-aligned. */
  readonly address: number;
  /** Bytes, a multiple of 4096. */
  readonly length: number;
  /** Offset in the video memory, page-aligned. */
  readonly memoryOffset: number;
}

/** The window under the present memory map select. */
export function presentWindow(state: VgaState): LinearWindow {
  const [start, length] = WINDOWS[(state.graphics[Gfx.miscellaneous] & GfxMisc.memoryMap) >> 2];
  return { address: VGA_WINDOW_BASE + start, length, memoryOffset: 0 };
}

/** Could the window be RAM under the present registers, and in which order? One of `VgaPlain`. */
export function plainAccess(state: VgaState): number {
  const { graphics, sequencer } = state;
  const isPlain = state.enabled && (state.miscOutput & Misc.enableRam) !== 0 &&
    (graphics[Gfx.mode] & (GfxMode.writeMode | GfxMode.readMode)) === 0 &&
    (graphics[Gfx.dataRotate] & 0x1f) === 0 && (graphics[Gfx.enableSetReset] & 0xf) === 0 &&
    graphics[Gfx.bitMask] === 0xff;
  if (!isPlain) return VgaPlain.no;
  const maps = sequencer[Seq.mapMask] & 0xf;
  if (sequencer[Seq.memoryMode] & SeqMemory.chain4) {
    return maps === 0xf ? VgaPlain.chain4 : VgaPlain.no;
  }
  const isOddEven = (sequencer[Seq.memoryMode] & SeqMemory.sequential) === 0 &&
    (graphics[Gfx.mode] & GfxMode.oddEven) !== 0 &&
    (graphics[Gfx.miscellaneous] & GfxMisc.chainOddEven) !== 0 &&
    (graphics[Gfx.readMapSelect] & 2) === 0 && maps === 3;
  return isOddEven ? VgaPlain.oddEven : VgaPlain.no;
}

/** Puts the bytes of all maps from one layout into the other. */
export function changeLayout(memory: Uint8Array, layout: number): void {
  const units = new Uint16Array(memory.buffer, memory.byteOffset, VGA_MEMORY_BYTES / 2);
  const old = units.slice();
  // Maps 0 and 1, and 2 and 3, are neighbours in both: a pair of bytes moves at a time.
  for (let pair = 0; pair < 2; pair++) {
    for (let address = 0; address < 0x1_0000; address++) {
      const oddEven = (pair << 16) | ((address & 1) << 15) | (address >> 1);
      const chain4 = ((address & 3) << 15) | ((address & 0xfffc) >> 1) | pair;
      if (layout === VgaLayout.chain4) units[chain4] = old[oddEven];
      else units[oddEven] = old[chain4];
    }
  }
}

/** The processor's side of the memory, byte by byte; offsets count from A0000h. */
export class VgaMemory {
  readonly #state: VgaState;
  readonly #memory: Uint8Array;
  readonly #sequencer: Uint8Array;
  readonly #graphics: Uint8Array;

  constructor(state: VgaState, memory: Uint8Array) {
    this.#state = state;
    this.#memory = memory;
    this.#sequencer = state.sequencer;
    this.#graphics = state.graphics;
  }

  /** Reads the byte at `offset`; FFh outside of the present window. */
  read(offset: number): number {
    const n = this.#decode(offset);
    if (n < 0) return 0xff;
    const graphics = this.#graphics;
    const mode = graphics[Gfx.mode];
    let plane = graphics[Gfx.readMapSelect] & 3;
    let address = n & 0xffff;
    if (this.#sequencer[Seq.memoryMode] & SeqMemory.chain4) {
      plane = n & 3;
      address = (n & 0xfffc) | (n >> 16);
    } else {
      if (mode & GfxMode.oddEven) plane = (plane & 2) | (n & 1);
      if (graphics[Gfx.miscellaneous] & GfxMisc.chainOddEven) address = (n & 0xfffe) | (n >> 16);
    }
    const latches = this.#load(address);
    if ((mode & GfxMode.readMode) === 0) return (latches >>> (plane * 8)) & 0xff;
    // A dot answers 1 where all the maps that matter have the colour asked for.
    const differing = (latches ^ EXPANDED[graphics[Gfx.colorCompare] & 0xf]) &
      EXPANDED[graphics[Gfx.colorDontCare] & 0xf];
    return ~(differing | (differing >> 8) | (differing >> 16) | (differing >> 24)) & 0xff;
  }

  /** Writes the byte at `offset`; dropped outside of the present window. */
  write(offset: number, value: number): void {
    const n = this.#decode(offset);
    if (n < 0) return;
    const sequencer = this.#sequencer;
    let maps = sequencer[Seq.mapMask] & 0xf;
    let address = n & 0xffff;
    if (sequencer[Seq.memoryMode] & SeqMemory.chain4) {
      maps &= 1 << (n & 3);
      address = (n & 0xfffc) | (n >> 16);
    } else {
      if ((sequencer[Seq.memoryMode] & SeqMemory.sequential) === 0) maps &= n & 1 ? 0b1010 : 0b0101;
      if (this.#graphics[Gfx.miscellaneous] & GfxMisc.chainOddEven) {
        address = (n & 0xfffe) | (n >> 16);
      }
    }
    const data = this.#compose(value);
    const base = planeBase(this.#state.layout, address);
    const strides = planeStrides(this.#state.layout);
    for (let plane = 0; plane < 4; plane++) {
      if (maps & (1 << plane)) this.#memory[base + strides[plane]] = data >> (plane * 8);
    }
  }

  /** What a processor's write of `value` puts into the four maps; byte n is for map n. */
  #compose(value: number): number {
    const graphics = this.#graphics;
    const mode = graphics[Gfx.mode] & GfxMode.writeMode;
    const latches = this.#state.latches | 0;
    if (mode === 1) return latches;

    const setReset = EXPANDED[graphics[Gfx.setReset] & 0xf];
    const count = graphics[Gfx.dataRotate] & 7;
    const rotated = ((value >> count) | (value << (8 - count))) & 0xff;
    let mask = graphics[Gfx.bitMask];
    let data: number;
    if (mode === 0) {
      const fromSetReset = EXPANDED[graphics[Gfx.enableSetReset] & 0xf];
      data = (setReset & fromSetReset) | (Math.imul(rotated, 0x0101_0101) & ~fromSetReset);
    } else if (mode === 2) {
      data = EXPANDED[value & 0xf];
    } else {
      data = setReset;
      mask &= rotated;
    }
    switch ((graphics[Gfx.dataRotate] >> 3) & 3) {
      case 1:
        data &= latches;
        break;
      case 2:
        data |= latches;
        break;
      case 3:
        data ^= latches;
        break;
    }
    const masks = Math.imul(mask, 0x0101_0101);
    return (data & masks) | (latches & ~masks);
  }

  /** Fills the latches from `address` of all maps. */
  #load(address: number): number {
    const memory = this.#memory;
    const base = planeBase(this.#state.layout, address);
    const strides = planeStrides(this.#state.layout);
    const latches = memory[base] | (memory[base + strides[1]] << 8) |
      (memory[base + strides[2]] << 16) | (memory[base + strides[3]] << 24);
    this.#state.latches = latches >>> 0;
    return latches;
  }

  /** Offset in the present window, or -1. */
  #decode(offset: number): number {
    const state = this.#state;
    if (!state.enabled || (state.miscOutput & Misc.enableRam) === 0) return -1;
    const [start, length] = WINDOWS[(this.#graphics[Gfx.miscellaneous] & GfxMisc.memoryMap) >> 2];
    const n = offset - start;
    return n >= 0 && n < length ? n : -1;
  }
}
