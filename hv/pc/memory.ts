/** The board's memory: RAM, the firmware's ROM, the legacy area under PAM, the display's window. */

import type { Vga } from "../../devices/vga/vga.ts";
import { type LinearWindow, VGA_MEMORY_BYTES } from "../../devices/vga/memory.ts";
import type { DeviceMemory } from "../core/memory/guest_memory.ts";
import { MemoryFallback } from "../core/memory/memory_fallback.ts";
import {
  changedSlots,
  type MemoryLayout,
  memorySlots,
  SHADOW_BASE,
  SHADOW_END,
  type ShadowRegisters,
  Slot,
} from "../core/memory/memory_map.ts";
import type { PcBuilder } from "./builder.ts";

/** PAM and SMRAM after power-on: the ROM shows everywhere. */
const POWER_ON: ShadowRegisters = { pam: new Uint8Array(7), smram: 0x02 };

/** See above. */
export class PcMemory {
  /** The firmware's ROM. */
  readonly rom: DeviceMemory;
  /** The display's memory. */
  readonly video: DeviceMemory;
  readonly #builder: PcBuilder;
  #shadow: () => ShadowRegisters = () => POWER_ON;
  #window: () => LinearWindow | undefined = () => undefined;

  constructor(builder: PcBuilder) {
    this.#builder = builder;
    const { memory, config, mmio } = builder;
    this.rom = memory.allocateDeviceMemory(config.romBytes);
    this.video = memory.allocateDeviceMemory(VGA_MEMORY_BYTES);
    const fallback = new MemoryFallback(memory, this.#layout(undefined), () => this.#shadow());
    mmio.claim({
      name: "legacy memory",
      base: SHADOW_BASE,
      length: SHADOW_END - SHADOW_BASE,
      device: fallback,
      widths: { max: 4 },
    });
  }

  /** Who says what shows where. */
  connect(shadow: () => ShadowRegisters, vga: Vga): void {
    this.#shadow = shadow;
    this.#window = () => vga.linearWindow();
  }

  /** Maps everything anew, as after a reset or a restore. */
  mapAll(): void {
    const slots = memorySlots(this.#layout(this.#window()), this.#shadow());
    const gone = slots.filter(({ length }) => length === 0);
    for (const slot of gone) this.#builder.vm.mapMemory(slot);
    for (const slot of slots) if (slot.length !== 0) this.#builder.vm.mapMemory(slot);
  }

  /** PAM or SMRAM have changed: exchanges the slots that this concerns. */
  shadowChanged(after: ShadowRegisters, before: ShadowRegisters): void {
    const layout = this.#layout(this.#window());
    for (const slot of changedSlots(memorySlots(layout, before), memorySlots(layout, after))) {
      this.#builder.vm.mapMemory(slot);
    }
  }

  /** The display's window can be mapped as RAM from now on, or no longer. */
  windowChanged(window: LinearWindow | undefined): void {
    const slots = memorySlots(this.#layout(window), this.#shadow());
    const slot = slots.find(({ slot }) => slot === Slot.displayWindow);
    if (slot !== undefined) this.#builder.vm.mapMemory(slot);
  }

  #layout(window: LinearWindow | undefined): MemoryLayout {
    const { memory, config } = this.#builder;
    return {
      lowBytes: memory.lowBytes,
      highBytes: memory.highBytes,
      rom: { memoryOffset: this.rom.offset, length: config.romBytes },
      displayWindow: window === undefined ? undefined : {
        guestAddress: window.address,
        length: window.length,
        memoryOffset: this.video.offset + window.memoryOffset,
      },
    };
  }
}
