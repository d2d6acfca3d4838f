/**
 * The VGA: sequencer, CRT controller, graphics controller, attribute controller and palette at
 * 3B0h-3DFh, and 256 KiB of memory behind A0000h-BFFFFh.
 *
 * References: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem" (1988).
 * Left out: the vertical retrace interrupt, the light pen, the diagnostic bits of input status 1, and
 * what memory.ts lists.
 *
 * Every access to the window costs the guest an exit, so a window that would behave as plain RAM for
 * a while is mapped as such: after `MAP_AFTER` accesses the board is asked, through `mapWindow`, to
 * put the video memory itself there, until a register is changed so that it is no longer plain. As a
 * change of the layout moves 256 KiB (a fraction of a millisecond), that many exits between two of
 * them keep the cost in proportion whatever the guest does. Reads of a mapped window do not fill the
 * latches.
 *
 * The board holds one lock around ports, window and `mapWindow`. Readers of the picture need none:
 * the worst they see is a frame torn by a change.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import {
  changeLayout,
  type LinearWindow,
  plainAccess,
  presentWindow,
  VgaMemory,
} from "./memory.ts";
import {
  ATTR_PALETTE_SOURCE,
  Crtc,
  CRTC_PROTECT,
  Misc,
  REGISTERS,
  VGA_PORT_BASE,
  VgaLayout,
  VgaPlain,
  type VgaState,
} from "./registers.ts";
import { inputStatus1 } from "./timing.ts";

/** Accesses to a plain window after which it is mapped. */
export const MAP_AFTER = 256;

/** Input status 0: a colour monitor answers. */
const SWITCH_SENSE = 0x10;

/** The port ranges to claim: base and length. */
const PORT_RANGES = [[0x3b4, 2], [0x3ba, 1], [0x3c0, 16], [0x3d4, 2], [0x3da, 1]] as const;

/** What a VGA is connected to. */
export interface VgaOptions {
  readonly state: VgaState;
  /** `VGA_MEMORY_BYTES` of device memory, page-aligned. */
  readonly memory: Uint8Array;
  readonly clock: Clock;
  /**
   * Maps the window as RAM or, without one, takes the mapping back; called under the device's lock.
   * After attaching to restored state, the board maps `linearWindow()` by itself.
   */
  readonly mapWindow: (window: LinearWindow | undefined) => void;
}

/** See above. As a handler: ports 3B0h-3DFh, access widths 1 and 2. */
export class Vga implements Device, IoHandler {
  /** The registers. */
  readonly state: VgaState;
  /** The four maps, as memory.ts lays them out. */
  readonly memory: Uint8Array;
  /** A0000h-BFFFFh, access widths 1, 2 and 4. */
  readonly window: IoHandler;
  readonly #clock: Clock;
  readonly #mapWindow: VgaOptions["mapWindow"];
  readonly #paths: VgaMemory;

  constructor({ state, memory, clock, mapWindow }: VgaOptions) {
    this.state = state;
    this.memory = memory;
    this.#clock = clock;
    this.#mapWindow = mapWindow;
    this.#paths = new VgaMemory(state, memory);
    this.window = {
      read: (offset, size) => this.#readWindow(offset, size),
      write: (offset, size, value) => this.#writeWindow(offset, size, value),
    };
  }

  /** The port ranges that the board claims for it, each with its handler. */
  get portClaims(): { base: number; length: number; device: IoHandler }[] {
    return PORT_RANGES.map(([base, length]) => {
      const shift = base - VGA_PORT_BASE;
      return {
        base,
        length,
        device: {
          read: (offset: number, size: number) => this.read(offset + shift, size),
          write: (offset: number, size: number, value: number) =>
            this.write(offset + shift, size, value),
        },
      };
    });
  }

  reset(): void {
    const state = this.state;
    const wasMapped = state.mapped;
    state.mapped = false;
    if (wasMapped) this.#mapWindow(undefined);
    state.enabled = true;
    state.miscOutput = 0;
    state.featureControl = 0;
    state.sequencerIndex = 0;
    state.graphicsIndex = 0;
    state.crtcIndex = 0;
    state.attributeIndex = 0;
    state.attributeFlipFlop = false;
    for (const registers of [state.sequencer, state.graphics, state.crtc, state.attribute]) {
      registers.fill(0);
    }
    state.dacMask = 0xff;
    state.dacState = 0;
    state.dacReadIndex = 0;
    state.dacWriteIndex = 0;
    state.dacComponent = 0;
    state.dacPending.fill(0);
    state.dac.fill(0);
    state.latches = 0;
    state.layout = VgaLayout.oddEven;
    state.plain = VgaPlain.no;
    state.plainAccesses = 0;
    this.memory.fill(0);
    state.changes = 0;
  }

  /** What is mapped as RAM just now, if anything. */
  linearWindow(): LinearWindow | undefined {
    return this.state.mapped ? presentWindow(this.state) : undefined;
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) {
      value += this.#readPort(VGA_PORT_BASE + offset + i) * 2 ** (8 * i);
    }
    return value;
  }

  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      this.#writePort(VGA_PORT_BASE + offset + i, (value >>> (8 * i)) & 0xff);
    }
    // Behind what it counts: another thread that looks in between looks again.
    this.state.changes++;
  }

  #readPort(port: number): number {
    const state = this.state;
    if (port === 0x3c3) return state.enabled ? 1 : 0;
    if (!state.enabled) return 0xff;
    switch (port) {
      case 0x3c0:
        return state.attributeIndex;
      case 0x3c1: {
        const index = state.attributeIndex & 0x1f;
        return index < REGISTERS.attribute ? state.attribute[index] : 0;
      }
      case 0x3c2:
        return SWITCH_SENSE;
      case 0x3c4:
        return state.sequencerIndex;
      case 0x3c5:
        return state.sequencer[state.sequencerIndex];
      case 0x3c6:
        return state.dacMask;
      case 0x3c7:
        return state.dacState;
      case 0x3c8:
        return state.dacWriteIndex;
      case 0x3c9:
        return this.#readDac();
      case 0x3ca:
        return state.featureControl;
      case 0x3cc:
        return state.miscOutput;
      case 0x3ce:
        return state.graphicsIndex;
      case 0x3cf:
        return state.graphics[state.graphicsIndex];
    }
    switch (this.#crtcPort(port)) {
      case 0x4:
        return state.crtcIndex;
      case 0x5:
        return state.crtc[state.crtcIndex];
      case 0xa:
        state.attributeFlipFlop = false;
        return inputStatus1(state, this.#clock.nowNs());
      default:
        return 0xff;
    }
  }

  #writePort(port: number, value: number): void {
    const state = this.state;
    if (port === 0x3c3) {
      state.enabled = (value & 1) !== 0;
      return this.#pathsChanged();
    }
    if (!state.enabled) return;
    switch (port) {
      case 0x3c0:
        return this.#writeAttribute(value);
      case 0x3c2:
        state.miscOutput = value;
        return this.#pathsChanged();
      case 0x3c4:
        state.sequencerIndex = value & 7;
        return;
      case 0x3c5:
        if (state.sequencerIndex >= REGISTERS.sequencer) return;
        this.#writePathRegister(state.sequencer, state.sequencerIndex, value);
        return;
      case 0x3c6:
        state.dacMask = value;
        return;
      case 0x3c7:
        state.dacReadIndex = value;
        state.dacComponent = 0;
        state.dacState = 3;
        return;
      case 0x3c8:
        state.dacWriteIndex = value;
        state.dacComponent = 0;
        state.dacState = 0;
        return;
      case 0x3c9:
        return this.#writeDac(value & 0x3f);
      case 0x3ce:
        state.graphicsIndex = value & 0xf;
        return;
      case 0x3cf:
        if (state.graphicsIndex >= REGISTERS.graphics) return;
        this.#writePathRegister(state.graphics, state.graphicsIndex, value);
        return;
    }
    switch (this.#crtcPort(port)) {
      case 0x4:
        state.crtcIndex = value & 0x1f;
        return;
      case 0x5:
        return this.#writeCrtc(state.crtcIndex, value);
      case 0xa:
        state.featureControl = value;
        return;
    }
  }

  /** The low digit of a port in the selected one of 3Bxh and 3Dxh, or -1. */
  #crtcPort(port: number): number {
    const base = this.state.miscOutput & Misc.ioAddressSelect ? 0x3d0 : 0x3b0;
    return port >= base && port < base + 0x10 ? port - base : -1;
  }

  #writeCrtc(index: number, value: number): void {
    const { crtc } = this.state;
    if (index >= REGISTERS.crtc) return;
    if (index <= Crtc.overflow && crtc[Crtc.verticalRetraceEnd] & CRTC_PROTECT) {
      // Only bit 8 of the line compare stays writable.
      if (index === Crtc.overflow) crtc[index] = (crtc[index] & ~0x10) | (value & 0x10);
      return;
    }
    crtc[index] = value;
  }

  #writeAttribute(value: number): void {
    const state = this.state;
    state.attributeFlipFlop = !state.attributeFlipFlop;
    if (state.attributeFlipFlop) {
      state.attributeIndex = value & (ATTR_PALETTE_SOURCE | 0x1f);
      return;
    }
    const index = state.attributeIndex & 0x1f;
    if (index < 0x10) state.attribute[index] = value & 0x3f;
    else if (index < REGISTERS.attribute) state.attribute[index] = value;
  }

  #readDac(): number {
    const state = this.state;
    const value = state.dac[state.dacReadIndex * 3 + state.dacComponent];
    if (++state.dacComponent === 3) {
      state.dacComponent = 0;
      state.dacReadIndex = (state.dacReadIndex + 1) & 0xff;
    }
    return value;
  }

  #writeDac(value: number): void {
    const state = this.state;
    if (state.dacComponent < 2) {
      state.dacPending[state.dacComponent++] = value;
      return;
    }
    // A colour is stored as a whole, with its blue.
    const at = state.dacWriteIndex * 3;
    state.dac[at] = state.dacPending[0];
    state.dac[at + 1] = state.dacPending[1];
    state.dac[at + 2] = value;
    state.dacComponent = 0;
    state.dacWriteIndex = (state.dacWriteIndex + 1) & 0xff;
  }

  #readWindow(offset: number, size: number): number {
    this.#countAccess();
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#paths.read(offset + i) * 2 ** (8 * i);
    return value;
  }

  #writeWindow(offset: number, size: number, value: number): void {
    this.#countAccess();
    for (let i = 0; i < size; i++) this.#paths.write(offset + i, (value >>> (8 * i)) & 0xff);
    this.state.changes++;
  }

  /** A register of the sequencer or graphics controller, any of which may redirect accesses. */
  #writePathRegister(registers: Uint8Array, index: number, value: number): void {
    if (registers[index] === value) return;
    const before = this.linearWindow();
    registers[index] = value;
    this.#pathsChanged(before);
  }

  #pathsChanged(before = this.linearWindow()): void {
    const state = this.state;
    const plain = plainAccess(state);
    const isSame = plain === state.plain && before?.address === this.linearWindow()?.address &&
      before?.length === this.linearWindow()?.length;
    if (isSame) return;
    state.plain = plain;
    state.plainAccesses = 0;
    if (!state.mapped) return;
    state.mapped = false;
    this.#mapWindow(undefined);
  }

  #countAccess(): void {
    const state = this.state;
    if (state.plain === VgaPlain.no || state.mapped || ++state.plainAccesses < MAP_AFTER) return;
    state.plainAccesses = 0;
    const layout = state.plain - 1;
    if (layout !== state.layout) {
      changeLayout(this.memory, layout);
      state.layout = layout;
    }
    state.mapped = true;
    this.#mapWindow(presentWindow(state));
  }
}
