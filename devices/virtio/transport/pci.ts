/**
 * Virtio over PCI: a function whose vendor capabilities say where in its BAR the structures of the
 * transport lie, with MSI-X or, for drivers without, the interrupt pin and the ISR status.
 *
 * Devices that were there before virtio 1.0 are transitional: legacy drivers find theirs, too
 * (pci_legacy.ts). All queues are notified at one address (notify_off_multiplier 0). Left out:
 * shared memory, notification data that the device chooses.
 *
 * Without the bus (command bit 2) the queues stand still and messages wait; what is under way then is
 * transferred, and its buffers are not given back.
 *
 * The structures in BARs are guarded by the device's lock, the configuration space by the bus's, which
 * comes first: the configuration access capability takes both.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.1 "Virtio Over PCI Bus".
 */

import type { Device, IoHandler } from "../../../hv/core/bus/device.ts";
import type { Lock } from "../../../hv/core/state/lock.ts";
import type { ConfigRegister } from "../../pci/config_space.ts";
import type { Bar } from "../../pci/pci_bar.ts";
import { Msix, type MsixState, type SendMsi } from "../../pci/msix.ts";
import {
  type InterruptPin,
  type PciCapability,
  PciFunction,
  type PciFunctionState,
} from "../../pci/pci_function.ts";
import type { VirtioCore } from "../virtio_core.ts";
import { VirtioDeviceId, type VirtioTransport } from "../virtio_device.ts";
import { COMMON_CONFIG_BYTES, commonConfig } from "./pci_common.ts";
import { legacyBytes, LegacyRegister, LegacyRegisters } from "./pci_legacy.ts";
import { NO_VECTOR, type VirtioPciState } from "./pci_state.ts";

const VENDOR = 0x1af4;
/** Device IDs are this plus the device number (4.1.2). */
const MODERN_DEVICE = 0x1040;
/** "1 or higher" for devices that are not transitional, and subsystems of 40h or more. */
const REVISION = 1;
const SUBSYSTEM = 0x40;
/** Transitional devices, which legacy drivers know as well: their device IDs (4.1.2.1). */
const TRANSITIONAL: Readonly<Record<number, number>> = {
  [VirtioDeviceId.net]: 0x1000,
  [VirtioDeviceId.block]: 0x1001,
  [VirtioDeviceId.balloon]: 0x1002,
  [VirtioDeviceId.console]: 0x1003,
  [VirtioDeviceId.entropy]: 0x1005,
  [VirtioDeviceId.p9]: 0x1009,
};

/** Class, subclass and interface by device number: what drivers that do not know virtio show. */
const CLASS_CODES: Readonly<Record<number, number>> = {
  [VirtioDeviceId.net]: 0x02_00_00,
  [VirtioDeviceId.block]: 0x01_00_00,
  [VirtioDeviceId.console]: 0x07_80_00,
  [VirtioDeviceId.p9]: 0x01_80_00,
  [VirtioDeviceId.vsock]: 0x02_80_00,
};
const OTHER_CLASS = 0xff_00_00;

/** BARs: as QEMU numbers them. */
const LEGACY_BAR = 0;
const MSIX_BAR = 1;
const MODERN_BAR = 4;
const MODERN_BYTES = 0x4000;
/** The structures in it, a page each. */
const COMMON = 0x0000;
const ISR = 0x1000;
const DEVICE = 0x2000;
const NOTIFY = 0x3000;
const STRUCTURE_BYTES = 0x1000;

/** Values of cfg_type (4.1.4). */
const CapType = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const;
const VENDOR_CAPABILITY = 0x09;
const CAP_BYTES = 16;

/** ISR status (4.1.4.5). */
const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

const ONES = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff];

/** What the transport of a device is built of. */
export interface VirtioPciOptions {
  readonly core: VirtioCore;
  readonly state: VirtioPciState;
  readonly pciState: PciFunctionState;
  /** Of a vector for each queue and one for configuration changes. */
  readonly msixState: MsixState;
  readonly pin: InterruptPin;
  readonly sendMsi: SendMsi;
  /** Told where queues are notified from now on; undefined: nowhere. */
  readonly onNotifyMoved?: (address: number | undefined) => void;
  /** The same for the port of the legacy interface. */
  readonly onLegacyNotifyMoved?: (port: number | undefined) => void;
}

/** See above. */
export class VirtioPci implements Device, VirtioTransport {
  readonly pci: PciFunction;
  readonly #core: VirtioCore;
  readonly #lock: Lock;
  readonly #state: VirtioPciState;
  readonly #msix: Msix;
  readonly #common: IoHandler;

  constructor(options: VirtioPciOptions) {
    const { core, state, pciState, msixState, pin, sendMsi, onNotifyMoved } = options;
    const lock = core.lock;
    this.#core = core;
    this.#lock = lock;
    this.#state = state;
    core.transport = this;
    this.#msix = new Msix({
      state: msixState,
      lock,
      sendMsi,
      barIndex: MSIX_BAR,
      offset: 0x40,
      onEnabled: () => this.#takeIsr(),
      mayMaster: () => this.isMaster,
    });
    this.#common = commonConfig(core, state, this.#msix.vectors);
    const { id, config } = core.device;
    const transitional = TRANSITIONAL[id];
    this.pci = new PciFunction(pciState, {
      identity: {
        vendor: VENDOR,
        device: transitional ?? MODERN_DEVICE + id,
        revision: transitional === undefined ? REVISION : 0,
        classCode: CLASS_CODES[id] ?? OTHER_CLASS,
        subsystemVendor: VENDOR,
        subsystem: transitional === undefined ? SUBSYSTEM + id : id,
        pin: 1,
      },
      pin,
      onMaster: (isMaster) => this.#masterChanged(isMaster),
      bars: [...(transitional === undefined ? [] : [this.#legacyBar(options)]), this.#msix.bar, {
        name: "virtio",
        index: MODERN_BAR,
        kind: "mem32",
        size: MODERN_BYTES,
        device: {
          read: (offset, size) => this.#read(offset, size),
          write: (offset, size, value) => this.#write(offset, size, value),
        },
        widths: { max: 4 },
        lock,
        onMoved: (range) => onNotifyMoved?.(range && range.base + NOTIFY),
      }],
      capabilities: [
        this.#msix.capability,
        capability(0x50, CapType.COMMON, COMMON, COMMON_CONFIG_BYTES),
        capability(0x60, CapType.ISR, ISR, 1),
        capability(0x70, CapType.DEVICE, DEVICE, Math.max(4, config.length)),
        capability(0x80, CapType.NOTIFY, NOTIFY, 4, [
          { name: "notify_off_multiplier", offset: CAP_BYTES, bytes: 4 },
        ]),
        this.#accessCapability(0x98),
      ],
    });
  }

  /** The device with it. */
  reset(): void {
    this.pci.reset();
    this.#msix.reset();
    this.#core.reset();
  }

  get isMaster(): boolean {
    return this.pci.isMaster || this.#state.forgotBus;
  }

  interruptQueue(index: number): void {
    this.#interrupt(ISR_QUEUE, this.#state.queueVectors[index]);
  }

  interruptConfig(): void {
    this.#interrupt(ISR_CONFIG, this.#state.configVector);
  }

  deviceReset(): void {
    const state = this.#state;
    state.deviceFeatureSelect = 0;
    state.driverFeatureSelect = 0;
    state.queueSelect = 0;
    state.configVector = NO_VECTOR;
    state.queueVectors.fill(NO_VECTOR);
    state.isr = 0;
    state.forgotBus = false;
    this.pci.setInterrupt(false);
    for (let vector = 0; vector < this.#msix.vectors; vector++) this.#msix.withdraw(vector);
  }

  #legacyBar({ core, state, onLegacyNotifyMoved }: VirtioPciOptions): Bar {
    return {
      name: "virtio legacy",
      index: LEGACY_BAR,
      kind: "io",
      size: legacyBytes(core.device.config.length),
      device: new LegacyRegisters({
        core,
        state,
        vectors: this.#msix.vectors,
        msixEnabled: () => this.#msix.enabled,
        takeIsr: () => this.#takeIsr(),
        // Linux before 2.6.34 never asks for the bus; QEMU lets such drivers go, too.
        driverBegins: () => state.forgotBus = !this.pci.isMaster,
      }),
      widths: { max: 4 },
      lock: core.lock,
      onMoved: (range) => onLegacyNotifyMoved?.(range && range.base + LegacyRegister.queue_notify),
    };
  }

  /** What has waited for the bus goes on. */
  #masterChanged(isMaster: boolean): void {
    this.#lock.with(() => {
      this.#state.forgotBus = false;
      if (!isMaster) return;
      this.#msix.sendWaiting();
      this.#core.revisitAll();
    });
  }

  #interrupt(cause: number, vector: number): void {
    // With MSI-X the ISR status is not used (4.1.4.5.1).
    if (this.#msix.enabled) {
      if (vector !== NO_VECTOR) this.#msix.send(vector);
      return;
    }
    this.#state.isr |= cause;
    this.pci.setInterrupt(true);
  }

  #read(offset: number, size: number): number {
    const within = offset % STRUCTURE_BYTES;
    switch (offset - within) {
      case COMMON:
        return this.#common.read(within, size);
      case ISR:
        return within === 0 ? this.#takeIsr() : 0;
      case DEVICE:
        return this.#core.readConfig(within, size);
      default:
        return 0;
    }
  }

  #write(offset: number, size: number, value: number): void {
    const within = offset % STRUCTURE_BYTES;
    switch (offset - within) {
      case COMMON:
        return this.#common.write(within, size, value);
      case DEVICE:
        return this.#core.writeConfig(within, size, value);
      case NOTIFY:
        // The queue's number; with VIRTIO_F_NOTIFICATION_DATA the high half tells how far it is, which the
        // ring does as well (4.1.5.2).
        return within === 0 ? this.#core.notify(value & 0xffff) : undefined;
    }
  }

  /** Reading the ISR status clears it and lets the pin go. */
  #takeIsr(): number {
    const { isr } = this.#state;
    this.#state.isr = 0;
    this.pci.setInterrupt(false);
    return isr;
  }

  /** The BAR through configuration space, for those that cannot map it yet (4.1.4.9). */
  #accessCapability(offset: number): PciCapability {
    const at = (register: number, size: number) => this.pci.config.get(offset + register, size);
    const target = () => {
      const address = at(8, 4);
      const size = at(12, 4);
      const isSound = at(4, 1) === MODERN_BAR && (size === 1 || size === 2 || size === 4) &&
        address % size === 0 && address + size <= MODERN_BYTES;
      return isSound ? { address, size } : undefined;
    };
    return {
      id: VENDOR_CAPABILITY,
      offset,
      registers: [
        { name: "cap_len", offset: 2, bytes: 1, reset: CAP_BYTES + 4 },
        { name: "cfg_type", offset: 3, bytes: 1, reset: CapType.PCI },
        { name: "bar", offset: 4, bytes: 1, writable: 0xff },
        { name: "offset", offset: 8, bytes: 4, writable: 0xffff_ffff },
        { name: "length", offset: 12, bytes: 4, writable: 0xffff_ffff },
        {
          name: "pci_cfg_data",
          offset: CAP_BYTES,
          bytes: 4,
          writable: 0xffff_ffff,
          onRead: () => {
            const to = target();
            if (to === undefined) return ONES[4];
            return this.#lock.with(() => this.#read(to.address, to.size));
          },
          onWrite: (value) => {
            const to = target();
            if (to === undefined) return;
            const written = (value & ONES[to.size]) >>> 0;
            this.#lock.with(() => this.#write(to.address, to.size, written));
          },
        },
      ],
    };
  }
}

/** struct virtio_pci_cap (4.1.4). */
function capability(
  offset: number,
  type: number,
  at: number,
  length: number,
  more: readonly ConfigRegister[] = [],
): PciCapability {
  return {
    id: VENDOR_CAPABILITY,
    offset,
    registers: [
      {
        name: "cap_len",
        offset: 2,
        bytes: 1,
        reset: CAP_BYTES + more.reduce((bytes, register) => bytes + register.bytes, 0),
      },
      { name: "cfg_type", offset: 3, bytes: 1, reset: type },
      { name: "bar", offset: 4, bytes: 1, reset: MODERN_BAR },
      { name: "offset", offset: 8, bytes: 4, reset: at },
      { name: "length", offset: 12, bytes: 4, reset: length },
      ...more,
    ],
  };
}
