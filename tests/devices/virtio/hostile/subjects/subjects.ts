/** Every virtio device, for the hostile driver: a new one is a line in each table and a file beside it. */

import { VirtioDeviceId } from "../../../../../devices/virtio/virtio_device.ts";
import { balloon, balloonRequest } from "./balloon.ts";
import { blk, blkRequest } from "./blk.ts";
import { consoleAlone, consolePorts, consoleRequest } from "./console.ts";
import { net, netRequest } from "./net.ts";
import { p9, p9Request } from "./p9.ts";
import { rng, rngRequest } from "./rng.ts";
import { vsock, vsockRequest } from "./vsock.ts";
import type { MakeRequest, MakeSubject } from "./subject.ts";

/** By name. */
export const SUBJECTS: Readonly<Record<string, MakeSubject>> = {
  balloon,
  blk,
  console: consoleAlone,
  ports: consolePorts,
  rng,
  p9,
  net,
  vsock,
};

/** What is asked of a device of a whole board, by the device's number. */
export const REQUESTS: Readonly<Record<number, MakeRequest>> = {
  [VirtioDeviceId.balloon]: balloonRequest,
  [VirtioDeviceId.block]: blkRequest,
  [VirtioDeviceId.console]: consoleRequest,
  [VirtioDeviceId.entropy]: rngRequest,
  [VirtioDeviceId.p9]: p9Request,
  [VirtioDeviceId.net]: netRequest,
  [VirtioDeviceId.vsock]: vsockRequest,
};
