/**
 * The data areas as the caller has them: in real mode plain RAM; in V86 mode where its page tables put
 * them, for every virtual machine of a memory manager or of Windows has a first megabyte of its own.
 */

import { GuestMemory } from "../hv/core/memory/guest_memory.ts";
import type { GuestSpace } from "./guest_space.ts";

/** Guest memory whose words and bytes, unlike `view`, are addressed linearly. */
export class CallerMemory extends GuestMemory {
  readonly #space: GuestSpace;

  constructor(memory: GuestMemory, space: GuestSpace) {
    super(memory.handle);
    this.#space = space;
  }

  override readU8(address: number): number {
    return this.#space.paged ? this.#space.read8(address) : super.readU8(address);
  }

  override readU16(address: number): number {
    return this.#space.paged ? this.#space.read16(address) : super.readU16(address);
  }

  override readU32(address: number): number {
    return this.#space.paged ? this.#space.read32(address) : super.readU32(address);
  }

  override writeU8(address: number, value: number): void {
    if (this.#space.paged) this.#space.write8(address, value);
    else super.writeU8(address, value);
  }

  override writeU16(address: number, value: number): void {
    if (this.#space.paged) this.#space.write16(address, value);
    else super.writeU16(address, value);
  }

  override writeU32(address: number, value: number): void {
    if (this.#space.paged) this.#space.write32(address, value);
    else super.writeU32(address, value);
  }
}
