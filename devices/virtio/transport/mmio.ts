/**
 * Virtio over MMIO: a page of registers and an interrupt line, for systems that look for no bus; what
 * announces it is ACPI (LNRO0005) or the kernel's command line.
 *
 * Left out: the legacy interface (version 1), shared memory.
 *
 * Guarded by the device's lock.
 *
 * Reference: Virtual I/O Device (VIRTIO) 1.3, 4.2 "Virtio Over MMIO".
 */

import type { Device, IoHandler } from "../../../hv/core/bus/device.ts";
import type { IrqLine } from "../../../hv/core/bus/irq.ts";
import { record, u32, u8 } from "../../../hv/core/state/record.ts";
import { VirtioFeature } from "../virtio_bits.ts";
import type { VirtioCore } from "../virtio_core.ts";
import type { VirtioTransport } from "../virtio_device.ts";

/** Offsets of the registers (4.2.2). */
export const MmioRegister = {
  MagicValue: 0x000,
  Version: 0x004,
  DeviceID: 0x008,
  VendorID: 0x00c,
  DeviceFeatures: 0x010,
  DeviceFeaturesSel: 0x014,
  DriverFeatures: 0x020,
  DriverFeaturesSel: 0x024,
  QueueSel: 0x030,
  QueueSizeMax: 0x034,
  QueueSize: 0x038,
  QueueReady: 0x044,
  QueueNotify: 0x050,
  InterruptStatus: 0x060,
  InterruptACK: 0x064,
  Status: 0x070,
  QueueDescLow: 0x080,
  QueueDescHigh: 0x084,
  QueueDriverLow: 0x090,
  QueueDriverHigh: 0x094,
  QueueDeviceLow: 0x0a0,
  QueueDeviceHigh: 0x0a4,
  SHMLenLow: 0x0b0,
  SHMBaseHigh: 0x0bc,
  QueueReset: 0x0c0,
  ConfigGeneration: 0x0fc,
  /** The device's configuration, of any width, begins here. */
  Config: 0x100,
} as const;

/** Bytes of the window. */
export const MMIO_BYTES = 0x1000;

/** "virt". */
const MAGIC = 0x7472_6976;
const VERSION = 2;
/** "HVMM". */
const VENDOR = 0x4d4d_5648;
/** Where there is no shared memory its length, and so its address, are all ones. */
const NO_SHARED_MEMORY = 0xffff_ffff;

/** Interrupt status. */
const USED_BUFFER = 1;
const CONFIG_CHANGE = 2;

/** State of the transport. */
export const VirtioMmioState = record("virtio_mmio", 1, {
  deviceFeaturesSel: u32,
  driverFeaturesSel: u32,
  queueSel: u32,
  interruptStatus: u8,
});
/** A view of `VirtioMmioState`. */
export type VirtioMmioState = InstanceType<typeof VirtioMmioState>;

/** See above. */
export class VirtioMmio implements Device, IoHandler, VirtioTransport {
  readonly isMaster = true;
  readonly #core: VirtioCore;
  readonly #state: VirtioMmioState;
  readonly #line: IrqLine;

  constructor(core: VirtioCore, state: VirtioMmioState, line: IrqLine) {
    this.#core = core;
    this.#state = state;
    this.#line = line;
    core.transport = this;
  }

  /** The device with it. */
  reset(): void {
    this.#core.reset();
  }

  interruptQueue(_index: number): void {
    this.#interrupt(USED_BUFFER);
  }

  interruptConfig(): void {
    this.#interrupt(CONFIG_CHANGE);
  }

  deviceReset(): void {
    const state = this.#state;
    state.deviceFeaturesSel = 0;
    state.driverFeaturesSel = 0;
    state.queueSel = 0;
    state.interruptStatus = 0;
    this.#line.set(false);
  }

  #interrupt(cause: number): void {
    this.#state.interruptStatus |= cause;
    this.#line.set(true);
  }

  read(offset: number, size: number): number {
    if (offset >= MmioRegister.Config) {
      return this.#core.readConfig(offset - MmioRegister.Config, size);
    }
    // 4.2.2.2: registers are 32 bits wide, and accessed so.
    return size === 4 ? this.#register(offset) : 0;
  }

  #register(offset: number): number {
    const core = this.#core;
    const state = this.#state;
    const queue = core.queueState(state.queueSel);
    if (offset >= MmioRegister.SHMLenLow && offset <= MmioRegister.SHMBaseHigh) {
      return NO_SHARED_MEMORY;
    }
    switch (offset) {
      case MmioRegister.MagicValue:
        return MAGIC;
      case MmioRegister.Version:
        return VERSION;
      case MmioRegister.DeviceID:
        return core.device.id;
      case MmioRegister.VendorID:
        return VENDOR;
      case MmioRegister.DeviceFeatures:
        return core.deviceFeatures(state.deviceFeaturesSel);
      case MmioRegister.QueueSizeMax:
        return core.queueMaxSize(state.queueSel);
      case MmioRegister.QueueReady:
        return queue?.enabled === true ? 1 : 0;
      case MmioRegister.InterruptStatus:
        return state.interruptStatus;
      case MmioRegister.Status:
        return core.status;
      case MmioRegister.QueueReset:
        return queue?.resetting === true ? 1 : 0;
      case MmioRegister.ConfigGeneration:
        return core.configGeneration;
      default:
        return 0;
    }
  }

  write(offset: number, size: number, value: number): void {
    const core = this.#core;
    const state = this.#state;
    if (offset >= MmioRegister.Config) {
      return core.writeConfig(offset - MmioRegister.Config, size, value);
    }
    if (size !== 4) return;
    const { queueSel } = state;
    switch (offset) {
      case MmioRegister.DeviceFeaturesSel:
        state.deviceFeaturesSel = value;
        return;
      case MmioRegister.DriverFeatures:
        return core.acceptFeatures(state.driverFeaturesSel, value);
      case MmioRegister.DriverFeaturesSel:
        state.driverFeaturesSel = value;
        return;
      case MmioRegister.QueueSel:
        state.queueSel = value;
        return;
      case MmioRegister.QueueSize:
        return core.setQueueSize(queueSel, value);
      case MmioRegister.QueueReady:
        // Taken back, it reads as 1 until its buffers are (4.2.2.2).
        return value === 1 ? core.enableQueue(queueSel) : core.takeQueueBack(queueSel);
      case MmioRegister.QueueNotify:
        return core.notify(value & 0xffff);
      case MmioRegister.InterruptACK:
        return this.#acknowledge(value);
      case MmioRegister.Status:
        core.status = value & 0xff;
        return;
      case MmioRegister.QueueReset:
        if (value === 1 && core.accepted(VirtioFeature.RING_RESET)) core.takeQueueBack(queueSel);
        return;
      default:
        return this.#address(offset, value);
    }
  }

  #address(offset: number, value: number): void {
    const { queueSel } = this.#state;
    const half = (offset & 4) === 0 ? 0 : 1;
    switch (offset & ~4) {
      case MmioRegister.QueueDescLow:
        return this.#core.setQueueAddress(queueSel, "descriptors", half, value);
      case MmioRegister.QueueDriverLow:
        return this.#core.setQueueAddress(queueSel, "driverArea", half, value);
      case MmioRegister.QueueDeviceLow:
        return this.#core.setQueueAddress(queueSel, "deviceArea", half, value);
    }
  }

  /** What comes meanwhile pulls the line anew, for interrupt controllers that wait for an edge. */
  #acknowledge(causes: number): void {
    this.#state.interruptStatus &= ~causes;
    this.#line.set(false);
    if (this.#state.interruptStatus !== 0) this.#line.set(true);
  }
}
