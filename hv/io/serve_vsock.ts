/** A guest's vsock on the I/O worker's thread: loaded only where there is one. */

import { UnixVsock, type VsockHandle } from "../../devices/vsock/unix_vsock.ts";
import type { PcVsock } from "../pc/virtio/virtio.ts";
import type { DescriptorSet } from "../sys/wait/descriptor_set.ts";

/** Connects a vsock with the host; disposed of, all its connections are closed. */
export function serveVsock(
  handle: VsockHandle,
  { device, core }: PcVsock,
  descriptors: DescriptorSet,
): Disposable {
  const served = new DisposableStack();
  const host = served.use(new UnixVsock(handle, descriptors, device));
  served.defer(() => device[Symbol.dispose]());
  device.host = host;
  // The guest may have connections with a worker before this one.
  if (core.isLive) device.tellReset();
  return served;
}
