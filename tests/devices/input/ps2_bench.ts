/** What the tests of PS/2 keyboard and mouse share. */

import type { Ps2Device } from "../../../devices/input/ps2_device.ts";
import type { IoHandler } from "../../../hv/core/bus/device.ts";

/** Takes everything that the device has to send. */
export function drain(device: Ps2Device): number[] {
  const bytes: number[] = [];
  while (device.pending) bytes.push(device.take());
  return bytes;
}

/** The device as a port, for the contract: reads take, writes send. */
export const asPort = (device: Ps2Device): IoHandler => ({
  read: () => device.take() & 0xff,
  write: (_offset, _size, value) => device.send(value),
});
