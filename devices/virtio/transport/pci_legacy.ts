/**
 * The legacy interface of a transitional device: registers in an I/O BAR, as drivers from before
 * virtio 1.0 know them. There is one address for a queue, in pages; features are 32, and are settled
 * when the driver is ready.
 *
 * A legacy driver does not wait for the end of a reset: it must have nothing in flight then, or begins
 * again before the device does. Left out: reading a queue's address after a modern driver has set it.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.1.4.10 "Legacy Interfaces: A Note on PCI Device Layout",
 * 2.7.2 "Legacy Interfaces: A Note on Virtqueue Layout".
 */

import type { IoHandler } from "../../../hv/core/bus/device.ts";
import { VirtioStatus } from "../virtio_bits.ts";
import type { VirtioCore } from "../virtio_core.ts";
import { NO_VECTOR, type VirtioPciState } from "./pci_state.ts";

/** Offsets of the registers (4.1.4.10). */
export const LegacyRegister = {
  device_features: 0x00,
  driver_features: 0x04,
  queue_address: 0x08,
  queue_size: 0x0c,
  queue_select: 0x0e,
  queue_notify: 0x10,
  device_status: 0x12,
  isr_status: 0x13,
  /** With MSI-X enabled only; without, the device's configuration begins here. */
  config_msix_vector: 0x14,
  queue_msix_vector: 0x16,
} as const;
/** Where the device's configuration begins with and without MSI-X. */
const CONFIG_WITH_MSIX = 0x18;
const CONFIG = 0x14;
/** What the device offers to legacy drivers besides: buffers may be cut anywhere (2.6.4.2). */
const ANY_LAYOUT = 1 << 27;

/** What the registers are made of. */
export interface LegacyParts {
  readonly core: VirtioCore;
  readonly state: VirtioPciState;
  /** MSI-X vectors that there are. */
  readonly vectors: number;
  readonly msixEnabled: () => boolean;
  /** A driver says that it is one (3.1.1, step 3). */
  readonly driverBegins: () => void;
  /** Reads and clears the ISR status. */
  readonly takeIsr: () => number;
}

/** Bytes of the BAR for a configuration space of so many: a power of two. */
export const legacyBytes = (configBytes: number): number =>
  2 ** Math.ceil(Math.log2(Math.max(64, CONFIG_WITH_MSIX + configBytes)));

/** See above; under the device's lock. */
export class LegacyRegisters implements IoHandler {
  readonly #parts: LegacyParts;

  constructor(parts: LegacyParts) {
    this.#parts = parts;
  }

  read(offset: number, size: number): number {
    const { core } = this.#parts;
    const config = this.#configOffset;
    if (offset >= config) return core.readConfig(offset - config, size);
    const value = this.#register(offset);
    return size === 4 ? value : value % 2 ** (size * 8);
  }

  #register(offset: number): number {
    const { core, state, takeIsr } = this.#parts;
    const { queueSelect } = state;
    switch (offset) {
      case LegacyRegister.device_features:
        return (core.deviceFeatures(0) | ANY_LAYOUT) >>> 0;
      case LegacyRegister.driver_features:
        return core.driverFeatures(0);
      case LegacyRegister.queue_address:
        return core.legacyQueuePage(queueSelect);
      case LegacyRegister.queue_size:
        return core.queueMaxSize(queueSelect);
      case LegacyRegister.queue_select:
        return queueSelect;
      case LegacyRegister.device_status:
        return core.status;
      case LegacyRegister.isr_status:
        return takeIsr();
      case LegacyRegister.config_msix_vector:
        return state.configVector;
      case LegacyRegister.queue_msix_vector:
        return state.queueVectors[queueSelect] ?? NO_VECTOR;
      default:
        return 0;
    }
  }

  write(offset: number, size: number, value: number): void {
    const { core, state, vectors } = this.#parts;
    const { queueSelect } = state;
    const config = this.#configOffset;
    if (offset >= config) return core.writeConfig(offset - config, size, value);
    const vector = value < vectors ? value : NO_VECTOR;
    switch (offset) {
      case LegacyRegister.driver_features:
        return core.acceptFeatures(0, (value & ~ANY_LAYOUT) >>> 0);
      case LegacyRegister.queue_address:
        return core.placeLegacyQueue(queueSelect, value);
      case LegacyRegister.queue_select:
        state.queueSelect = value;
        return;
      case LegacyRegister.queue_notify:
        return core.notify(value & 0xffff);
      case LegacyRegister.device_status:
        core.status = value & 0xff;
        if ((value & VirtioStatus.DRIVER) !== 0) this.#parts.driverBegins();
        return;
      case LegacyRegister.config_msix_vector:
        state.configVector = vector;
        return;
      case LegacyRegister.queue_msix_vector:
        if (queueSelect < core.queues.length) state.queueVectors[queueSelect] = vector;
    }
  }

  get #configOffset(): number {
    return this.#parts.msixEnabled() ? CONFIG_WITH_MSIX : CONFIG;
  }
}
