/**
 * The common configuration structure of virtio's PCI transport, as a table of its registers.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.1.4.3 "Common configuration structure layout".
 */

import type { IoHandler } from "../../../hv/core/bus/device.ts";
import { VirtioFeature } from "../virtio_bits.ts";
import type { VirtioCore } from "../virtio_core.ts";
import { NO_VECTOR, type VirtioPciState } from "./pci_state.ts";

/** Offsets of the structure's registers. */
export const CommonConfig = {
  device_feature_select: 0x00,
  device_feature: 0x04,
  driver_feature_select: 0x08,
  driver_feature: 0x0c,
  config_msix_vector: 0x10,
  num_queues: 0x12,
  device_status: 0x14,
  config_generation: 0x15,
  queue_select: 0x16,
  queue_size: 0x18,
  queue_msix_vector: 0x1a,
  queue_enable: 0x1c,
  queue_notify_off: 0x1e,
  queue_desc: 0x20,
  queue_driver: 0x28,
  queue_device: 0x30,
  queue_notify_data: 0x38,
  queue_reset: 0x3a,
} as const;

/** Bytes of the structure. */
export const COMMON_CONFIG_BYTES = 0x3c;

interface Register {
  readonly offset: number;
  readonly bytes: 1 | 2 | 4;
  readonly read: () => number;
  readonly write?: (value: number) => void;
}

/**
 * See above. Each register is accessed at its own width, 64-bit ones in halves (4.1.3.1); reads of other
 * widths give the bytes, writes of other widths are ignored. Under the device's lock.
 *
 * @param vectors MSI-X vectors that there are: others cannot be chosen.
 */
export function commonConfig(core: VirtioCore, state: VirtioPciState, vectors: number): IoHandler {
  /** For each byte, the register that it belongs to. */
  const owner: Register[] = [];
  for (const register of registersOf(core, state, vectors)) {
    owner.push(...Array.from({ length: register.bytes }, () => register));
  }
  return {
    read(offset, size) {
      let value = 0;
      for (let i = 0; i < size; i++) {
        const register = owner[offset + i];
        if (register === undefined) continue;
        const byte = (register.read() >>> ((offset + i - register.offset) * 8)) & 0xff;
        value += byte * 2 ** (i * 8);
      }
      return value;
    },
    write(offset, size, value) {
      const register = owner[offset];
      if (register?.offset === offset && register.bytes === size) register.write?.(value);
    },
  };
}

/** The registers, one behind the other without gaps. */
function registersOf(core: VirtioCore, state: VirtioPciState, vectors: number): Register[] {
  const vector = (value: number) => value < vectors ? value : NO_VECTOR;
  const selected = () => core.queueState(state.queueSelect);
  const address = (
    offset: number,
    part: "descriptors" | "driverArea" | "deviceArea",
  ): Register[] =>
    ([0, 1] as const).map((half) => ({
      offset: offset + half * 4,
      bytes: 4,
      read: () => selected()?.[part][half] ?? 0,
      write: (value) => core.setQueueAddress(state.queueSelect, part, half, value),
    }));
  return [
    {
      offset: CommonConfig.device_feature_select,
      bytes: 4,
      read: () => state.deviceFeatureSelect,
      write: (value) => state.deviceFeatureSelect = value,
    },
    {
      offset: CommonConfig.device_feature,
      bytes: 4,
      read: () => core.deviceFeatures(state.deviceFeatureSelect),
    },
    {
      offset: CommonConfig.driver_feature_select,
      bytes: 4,
      read: () => state.driverFeatureSelect,
      write: (value) => state.driverFeatureSelect = value,
    },
    {
      offset: CommonConfig.driver_feature,
      bytes: 4,
      read: () => core.driverFeatures(state.driverFeatureSelect),
      write: (value) => core.acceptFeatures(state.driverFeatureSelect, value),
    },
    {
      offset: CommonConfig.config_msix_vector,
      bytes: 2,
      read: () => state.configVector,
      write: (value) => state.configVector = vector(value),
    },
    { offset: CommonConfig.num_queues, bytes: 2, read: () => core.queues.length },
    {
      offset: CommonConfig.device_status,
      bytes: 1,
      read: () => core.status,
      write: (value) => core.status = value,
    },
    { offset: CommonConfig.config_generation, bytes: 1, read: () => core.configGeneration },
    {
      offset: CommonConfig.queue_select,
      bytes: 2,
      read: () => state.queueSelect,
      write: (value) => state.queueSelect = value,
    },
    {
      offset: CommonConfig.queue_size,
      bytes: 2,
      read: () => selected()?.size ?? 0,
      write: (value) => core.setQueueSize(state.queueSelect, value),
    },
    {
      offset: CommonConfig.queue_msix_vector,
      bytes: 2,
      read: () => state.queueVectors[state.queueSelect] ?? NO_VECTOR,
      write: (value) => {
        if (state.queueSelect < core.queues.length) {
          state.queueVectors[state.queueSelect] = vector(value);
        }
      },
    },
    {
      offset: CommonConfig.queue_enable,
      bytes: 2,
      read: () => selected()?.enabled === true ? 1 : 0,
      // It cannot be taken back but by a reset, of the device or the queue (4.1.4.3.2).
      write: (value) => value === 1 ? core.enableQueue(state.queueSelect) : undefined,
    },
    // All queues are notified at one address, which is told which one it is.
    { offset: CommonConfig.queue_notify_off, bytes: 2, read: () => 0 },
    ...address(CommonConfig.queue_desc, "descriptors"),
    ...address(CommonConfig.queue_driver, "driverArea"),
    ...address(CommonConfig.queue_device, "deviceArea"),
    // For VIRTIO_F_NOTIF_CONFIG_DATA, which is not offered.
    { offset: CommonConfig.queue_notify_data, bytes: 2, read: () => 0 },
    {
      offset: CommonConfig.queue_reset,
      bytes: 2,
      read: () => selected()?.resetting === true ? 1 : 0,
      write: (value) => {
        if (value === 1 && core.accepted(VirtioFeature.RING_RESET)) {
          core.takeQueueBack(state.queueSelect);
        }
      },
    },
  ];
}
