/**
 * The state of virtio's PCI transport beyond that of the device's core.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.1.4.3 "Common configuration structure layout".
 */

import { flag, record, u16, u16s, u32, u8 } from "../../../hv/core/state/record.ts";

/** No vector: the interrupt is not sent (4.1.4.3). */
export const NO_VECTOR = 0xffff;

/** The state of the transport of a device with so many queues. */
// deno-lint-ignore explicit-module-boundary-types
export const virtioPciState = (queues: number) =>
  record("virtio_pci", 2, {
    deviceFeatureSelect: u32,
    driverFeatureSelect: u32,
    queueSelect: u16,
    /** MSI-X vector of configuration changes. */
    configVector: u16,
    /** MSI-X vector of each queue. */
    queueVectors: u16s(queues),
    /** ISR status: what the interrupt pin is pulled for. */
    isr: u8,
    /** A legacy driver has begun without asking for the bus: it is let go. */
    forgotBus: flag,
  });
/** A view of what `virtioPciState` declares. */
export type VirtioPciState = InstanceType<ReturnType<typeof virtioPciState>>;
