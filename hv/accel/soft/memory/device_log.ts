/**
 * Device accesses of the instruction that runs, and what the devices said.
 *
 * An instruction that reaches a device leaves and, when it has been served, begins again; accesses
 * that it has already made are then answered from here instead of being made twice. So no
 * instruction needs to know that it was interrupted.
 */

import type { Access } from "../../accelerator.ts";
import { LOG_CAPACITY, type SoftState } from "../state/state.ts";

const WRITE = 0x40;
const PORT = 0x80;

/** The access object that every exit reuses. */
class SoftAccess implements Access {
  address = 0;
  size = 0;
  count = 1;
  isWrite = false;
  isPort = false;
  readonly data: DataView = new DataView(new ArrayBuffer(8));
  dataOffset = 0;
}

/** See above. */
export class DeviceLog {
  readonly access: SoftAccess = new SoftAccess();
  /**
   * Set while an exception is delivered: tables and stacks outside of RAM read as ones then, and
   * writes are dropped, since there is no instruction to begin again.
   */
  detached = false;
  readonly #state: SoftState;

  constructor(state: SoftState) {
    this.#state = state;
  }

  /** Forgets everything: the instruction is complete. */
  clear(): void {
    this.#state.logCount = 0;
    this.#state.logNext = 0;
  }

  /** The instruction begins again. */
  rewind(): void {
    this.#state.logNext = 0;
  }

  /**
   * What a device has answered to this access of up to 8 bytes, in `access.data`; false when the
   * access is yet to be made: `access` then says which.
   */
  serve(address: number, size: number, isWrite: boolean, isPort: boolean, value = 0n): boolean {
    const state = this.#state;
    const kind = size | (isWrite ? WRITE : 0) | (isPort ? PORT : 0);
    const next = state.logNext;
    const known = next < state.logCount && state.logKinds[next] === kind &&
      Number(state.logAddresses[next]) === address;
    const { access } = this;
    if (this.detached) {
      access.data.setBigUint64(0, 0xffff_ffff_ffff_ffffn, true);
      return true;
    }
    if (known) {
      access.data.setBigUint64(0, state.logValues[next], true);
      state.logNext = next + 1;
      return true;
    }
    // Another path than before, as when other processors change the page tables: from here on anew.
    state.logCount = Math.min(next, LOG_CAPACITY - 1);
    access.address = address;
    access.size = size;
    access.isWrite = isWrite;
    access.isPort = isPort;
    access.data.setBigUint64(0, isWrite ? value : 0n, true);
    return false;
  }

  /** Notes that the device has served `access`. */
  complete(): void {
    const state = this.#state;
    const { address, size, isWrite, isPort, data } = this.access;
    const at = state.logCount;
    state.logAddresses[at] = BigInt(address);
    state.logKinds[at] = size | (isWrite ? WRITE : 0) | (isPort ? PORT : 0);
    state.logValues[at] = data.getBigUint64(0, true);
    state.logCount = at + 1;
    state.logNext = 0;
  }
}
