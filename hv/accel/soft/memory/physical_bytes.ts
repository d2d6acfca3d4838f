/** Guest memory by physical address, byte by byte, RAM and devices alike; and who hears of writes to code. */

import { awaitDevice } from "../events/faults.ts";
import type { DeviceLog } from "./device_log.ts";
import type { PhysicalMap } from "./physical_map.ts";

const PAGE = 4096;

/** What has to know when memory that holds decoded code changes. */
export interface CodeWatcher {
  /** Bytes from `offset` in the machine's memory have been written. */
  invalidate(offset: number, bytes: number): void;
}

/** See above. */
export class PhysicalBytes {
  /** Set by whoever decodes. */
  watcher: CodeWatcher = { invalidate: () => {} };
  /** The machine's memory. */
  readonly bytes: Uint8Array;
  readonly #map: PhysicalMap;
  readonly #log: DeviceLog;

  /** @param bytes The machine's memory. */
  constructor(bytes: Uint8Array, map: PhysicalMap, log: DeviceLog) {
    this.bytes = bytes;
    this.#map = map;
    this.#log = log;
  }

  /** Reads a byte. Throws `GuestAccess`. */
  read(physical: number): number {
    const offset = this.#map.offsetOf(physical);
    if (offset >= 0) return this.bytes[offset];
    if (!this.#log.serve(physical, 1, false, false)) awaitDevice();
    return this.#log.access.data.getUint8(0);
  }

  /** Writes a byte. Throws `GuestAccess`. */
  write(physical: number, value: number): void {
    const offset = this.#map.offsetOf(physical);
    if (offset >= 0 && this.#map.lastWritable) {
      this.bytes[offset] = value;
      this.wrote(offset, 1);
    } else if (!this.#log.serve(physical, 1, true, false, BigInt(value))) awaitDevice();
  }

  /** Bytes at `offset` in the machine's memory have been written: code there is no longer what it was. */
  wrote(offset: number, size: number): void {
    const page = Math.floor(offset / PAGE);
    if (this.#map.wrote(page)) this.watcher.invalidate(offset, size);
  }
}
