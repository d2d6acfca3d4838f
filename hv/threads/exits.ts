/** From a vCPU's exit to the buses: the accesses of one exit, item by item, without allocation. */

import type { Access } from "../accel/accelerator.ts";
import type { IoBus } from "../core/bus/io_bus.ts";

/** Carries out a port exit; string I/O has `count` items at one port. */
export function servePort(bus: IoBus, access: Access): void {
  const { address, size, count, data, isWrite } = access;
  let offset = access.dataOffset;
  for (let i = 0; i < count; i++, offset += size) {
    if (isWrite) bus.write(address, size, load(data, offset, size));
    else store(data, offset, size, bus.read(address, size));
  }
}

/** Carries out an MMIO exit of 1 to 8 bytes, in the widest pieces that are powers of two. */
export function serveMmio(bus: IoBus, access: Access): void {
  const { address, size, data, dataOffset, isWrite } = access;
  for (let done = 0; done < size;) {
    const left = size - done;
    const width = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    const at = dataOffset + done;
    if (isWrite) bus.write(address + done, width, load(data, at, width));
    else store(data, at, width, bus.read(address + done, width));
    done += width;
  }
}

function load(data: DataView, offset: number, size: number): number {
  if (size === 1) return data.getUint8(offset);
  return size === 2 ? data.getUint16(offset, true) : data.getUint32(offset, true);
}

function store(data: DataView, offset: number, size: number, value: number): void {
  if (size === 1) data.setUint8(offset, value);
  else if (size === 2) data.setUint16(offset, value, true);
  else data.setUint32(offset, value, true);
}
