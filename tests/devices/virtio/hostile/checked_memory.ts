/**
 * Guest RAM that watches what devices do with it, and a lock that notices where a thread takes it
 * twice, which would be a hang.
 */

import assert from "node:assert/strict";
import { GuestMemory } from "../../../../hv/core/memory/guest_memory.ts";
import { Lock } from "../../../../hv/core/state/lock.ts";

/** See above. */
export class CheckedMemory extends GuestMemory {
  /** Accesses that may yet be made: what goes on for ever ends in an error here. */
  allowance = Infinity;
  /** Called before each read: another thread of the guest's writes just now. */
  onRead: (() => void) | undefined;

  #spend(): void {
    assert.ok(this.allowance-- > 0, "the device does not come to an end");
  }

  #read(): void {
    this.#spend();
    this.onRead?.();
  }

  override view(address: number, length: number): Uint8Array | undefined {
    this.#read();
    return super.view(address, length);
  }
  override readU8(address: number): number {
    this.#read();
    return super.readU8(address);
  }
  override readU16(address: number): number {
    this.#read();
    return super.readU16(address);
  }
  override readU32(address: number): number {
    this.#read();
    return super.readU32(address);
  }
  override loadU16(address: number): number {
    this.#read();
    return super.loadU16(address);
  }
  override writeU8(address: number, value: number): void {
    this.#spend();
    super.writeU8(address, value);
  }
  override writeU16(address: number, value: number): void {
    this.#spend();
    super.writeU16(address, value);
  }
  override writeU32(address: number, value: number): void {
    this.#spend();
    super.writeU32(address, value);
  }
  override storeU16(address: number, value: number): void {
    this.#spend();
    super.storeU16(address, value);
  }
}

/** See above. */
export class CheckedLock extends Lock {
  /** Does this thread hold it? */
  isHeld = false;

  override acquire(): void {
    assert.ok(!this.isHeld, "a lock is taken by a thread that holds it");
    super.acquire();
    this.isHeld = true;
  }
  override release(): void {
    assert.ok(this.isHeld, "a lock is given back by a thread that does not hold it");
    this.isHeld = false;
    super.release();
  }
}
