/**
 * A guest at the legacy registers of a transitional device.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.1.4.10 "Legacy Interfaces: A Note on PCI Device Layout".
 */

import { LegacyRegister } from "../../../../../devices/virtio/transport/pci_legacy.ts";
import type { QueuePlace } from "./guest_transport.ts";
import type { IoBus } from "../../../../../hv/core/bus/io_bus.ts";
import { PciGuest, type PciPlace } from "./pci_guest.ts";

const PAGE = 4096;
/** Where the device's configuration begins with MSI-X and without. */
const CONFIG = [0x14, 0x18];

/** See above. */
export class LegacyGuest extends PciGuest {
  override readonly isLegacy = true;
  readonly #ports: IoBus;

  constructor(place: PciPlace) {
    super(place);
    this.#ports = place.ports;
  }

  override get status(): number {
    return this.#ports.read(this.legacyBase + LegacyRegister.device_status, 1);
  }
  override set status(value: number) {
    this.#ports.write(this.legacyBase + LegacyRegister.device_status, 1, value);
  }

  override offered(word: number): number {
    return word === 0 ? this.#ports.read(this.legacyBase + LegacyRegister.device_features, 4) : 0;
  }

  override accept(word: number, bits: number): void {
    if (word === 0) this.#ports.write(this.legacyBase + LegacyRegister.driver_features, 4, bits);
  }

  override setQueue(index: number, { descriptors }: QueuePlace): void {
    this.#ports.write(this.legacyBase + LegacyRegister.queue_select, 2, index);
    this.#ports.write(this.legacyBase + LegacyRegister.queue_msix_vector, 2, (index + 1) & 0xffff);
    const page = Math.floor(descriptors / PAGE) % 2 ** 32;
    // Page 0 would take the queue back; where it is there already, it stays.
    this.#ports.write(this.legacyBase + LegacyRegister.queue_address, 4, page);
  }

  /** It is there as soon as it has an address. */
  override enableQueue(): void {}

  override resetQueue(index: number): void {
    this.setQueue(index, { size: 0, descriptors: 0, driverArea: 0, deviceArea: 0 });
  }

  override notify(index: number): void {
    this.#ports.write(this.legacyBase + LegacyRegister.queue_notify, 2, index);
  }

  override acknowledge(): void {
    this.#ports.read(this.legacyBase + LegacyRegister.isr_status, 1);
  }

  override readConfig(offset: number, size: number): number {
    return this.#ports.read(this.legacyBase + CONFIG[offset & 1] + offset, size);
  }
  override writeConfig(offset: number, size: number, value: number): void {
    this.#ports.write(this.legacyBase + CONFIG[offset & 1] + offset, size, value);
  }
}
