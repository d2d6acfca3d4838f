/** A virtual machine on KVM, with interrupt controllers and timer (8254) in the kernel. */

import { bytesOf } from "../../core/state/record.ts";
import { addressOf } from "../../sys/address.ts";
import { closeDescriptor } from "../../sys/descriptor.ts";
import { Errno, SysError } from "../../sys/errors.ts";
import { PAGE_BYTES } from "../../sys/memory_map.ts";
import { signalThread } from "../../sys/thread.ts";
import type {
  AcceleratedVm,
  Doorbell,
  FilledInstructions,
  MemorySlot,
  VmHandle,
} from "../accelerator.ts";
import { Chips } from "./state/chips.ts";
import { PhysicalMap } from "../soft/memory/physical_map.ts";
import type { KvmDetail } from "./detail.ts";
import { readFilled } from "./gaps/filled.ts";
import * as k from "./api/ioctl.ts";
import { call } from "./api/ioctl.ts";
import * as s from "./api/structs.ts";
import { KvmVcpu } from "./vcpu.ts";

/** What KVM_SIGNAL_MSI fails with for a message of the guest's that nobody takes. */
const LOST_MESSAGE: readonly number[] = [Errno.EPERM, Errno.EINVAL];

/** See `AcceleratedVm`. */
export class KvmVm implements AcceleratedVm {
  readonly handle: VmHandle;
  readonly #detail: KvmDetail;
  readonly #owner: boolean;
  readonly #chips: Chips;
  readonly #map: PhysicalMap;
  readonly #kicks: Int32Array;
  readonly #guest: Uint8Array;
  readonly #level = new Uint32Array(2);
  readonly #msi = new Uint32Array(s.kvm_msi.byteLength / 4);
  #open = true;

  /** @param owner Closes the machine's descriptors when it is disposed of. */
  constructor(handle: VmHandle, owner: boolean) {
    this.handle = handle;
    this.#detail = handle.detail as KvmDetail;
    this.#owner = owner;
    this.#chips = new Chips(this.#detail.vmFd);
    this.#map = new PhysicalMap(this.#detail.map, handle.memory.buffer.byteLength);
    this.#kicks = new Int32Array(this.#detail.kicks);
    this.#guest = new Uint8Array(handle.memory.buffer);
  }

  /**
   * See `AcceleratedVm.mapMemory`. KVM cannot change a slot's place: it is removed for a moment,
   * during which other processors' accesses to it exit as MMIO.
   *
   * @throws RangeError, SysError
   */
  mapMemory(slot: MemorySlot): void {
    this.#map.check(slot);
    const before = this.#map.slot(slot.slot);
    const moved = before.guestAddress !== slot.guestAddress || before.length !== slot.length ||
      before.memoryOffset !== slot.memoryOffset || before.readOnly !== (slot.readOnly ?? false);
    if (before.length !== 0 && moved) {
      this.#setRegion(slot.slot, 0, before.guestAddress, 0, 0);
      this.#map.set({ ...slot, length: 0 });
    }
    if (slot.length !== 0) {
      const flags = (slot.logDirty ? s.KVM_MEM_LOG_DIRTY_PAGES : 0) |
        (slot.readOnly ? s.KVM_MEM_READONLY : 0);
      this.#setRegion(
        slot.slot,
        flags,
        slot.guestAddress,
        slot.length,
        this.#detail.memoryAddress + slot.memoryOffset,
      );
    }
    this.#map.set(slot);
  }

  /** @throws Error for a slot without log, SysError */
  takeDirtyPages(slot: number): Uint8Array {
    // What the software CPU has written in KVM's place; it also checks that there is a log.
    const filled = this.#map.takeDirtyPages(slot);
    const { length } = this.#map.slot(slot);
    const bitmap = new Uint8Array(Math.ceil(length / PAGE_BYTES / 64) * 8);
    const log = new s.kvm_dirty_log(new ArrayBuffer(s.kvm_dirty_log.byteLength));
    log.slot = slot;
    log.dirty_bitmap = BigInt(addressOf(bitmap));
    call(this.#detail.vmFd, k.KVM_GET_DIRTY_LOG, bytesOf(log));
    return filled.map((bits, i) => bits | bitmap[i]);
  }

  setIrq(gsi: number, level: boolean): void {
    this.#level[0] = gsi;
    this.#level[1] = level ? 1 : 0;
    call(this.#detail.vmFd, k.KVM_IRQ_LINE, this.#level);
  }

  sendMsi(address: number, data: number): void {
    this.#msi[0] = address % 0x1_0000_0000;
    this.#msi[1] = Math.floor(address / 0x1_0000_0000);
    this.#msi[2] = data;
    try {
      call(this.#detail.vmFd, k.KVM_SIGNAL_MSI, this.#msi);
    } catch (error) {
      // Address and data are the guest's: a message that no local APIC takes is lost (-1, which is
      // EPERM), and so is one that there cannot be.
      if (!(error instanceof SysError && LOST_MESSAGE.includes(error.errno))) throw error;
    }
  }

  /** Raises interrupt `gsi` for a moment whenever `eventFd` is raised, without an exit. */
  attachIrqFd(gsi: number, eventFd: number): void {
    this.#irqFd(gsi, eventFd, 0);
  }

  /** Ends `attachIrqFd`. */
  detachIrqFd(gsi: number, eventFd: number): void {
    this.#irqFd(gsi, eventFd, s.KVM_IRQFD_FLAG_DEASSIGN);
  }

  attachDoorbell(doorbell: Doorbell, eventFd: number): boolean {
    return this.#ioEventFd(doorbell, eventFd, 0);
  }

  detachDoorbell(doorbell: Doorbell, eventFd: number): void {
    this.#ioEventFd(doorbell, eventFd, s.KVM_IOEVENTFD_FLAG_DEASSIGN);
  }

  openVcpu(index: number): KvmVcpu {
    const fd = this.#detail.vcpuFds[index];
    if (fd === undefined) {
      throw new RangeError(`Cannot open processor ${index}: the machine has ${this.handle.cpus}`);
    }
    return new KvmVcpu(index, {
      systemFd: this.#detail.systemFd,
      fd,
      runBytes: this.#detail.runBytes,
      syncRegisters: this.#detail.syncRegisters,
      kicks: this.#kicks,
      emulates: this.#detail.emulates,
      softCpu: {
        index,
        cpus: this.handle.cpus,
        world: this.#detail.world,
        memory: this.handle.memory,
        map: this.#map,
        filled: this.#detail.filled[index],
      },
      readGuest: (address, length) => this.#readGuest(address, length),
      guestView: (address, length) => this.#guestView(address, length),
    });
  }

  kick(index: number, threadId: number): void {
    if (threadId <= 0 || Atomics.exchange(this.#kicks, index, threadId) === threadId) return;
    if (!signalThread(threadId)) {
      Atomics.compareExchange(this.#kicks, index, threadId, 0);
    }
  }

  filledInstructions(): FilledInstructions {
    return readFilled(this.#detail.filled);
  }

  saveChips(): Map<string, Uint8Array> {
    return this.#chips.save();
  }

  restoreChips(chips: Map<string, Uint8Array>): void {
    this.#chips.restore(chips);
  }

  resetChips(): void {
    this.#chips.restore(this.#detail.resetChips);
  }

  /** The owner's ends the machine: no processor may be running or be opened afterwards. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    if (!this.#owner) return;
    for (const fd of this.#detail.vcpuFds) closeDescriptor(fd);
    closeDescriptor(this.#detail.vmFd);
    closeDescriptor(this.#detail.systemFd);
  }

  #setRegion(
    slot: number,
    flags: number,
    guestAddress: number,
    length: number,
    address: number,
  ): void {
    const region = new s.kvm_userspace_memory_region(
      new ArrayBuffer(s.kvm_userspace_memory_region.byteLength),
    );
    region.slot = slot;
    region.flags = flags;
    region.guest_phys_addr = BigInt(guestAddress);
    region.memory_size = BigInt(length);
    region.userspace_addr = BigInt(address);
    call(this.#detail.vmFd, k.KVM_SET_USER_MEMORY_REGION, bytesOf(region));
  }

  #irqFd(gsi: number, eventFd: number, flags: number): void {
    const irqfd = new s.kvm_irqfd(new ArrayBuffer(s.kvm_irqfd.byteLength));
    irqfd.fd = eventFd;
    irqfd.gsi = gsi;
    irqfd.flags = flags;
    call(this.#detail.vmFd, k.KVM_IRQFD, bytesOf(irqfd));
  }

  /** A guest may put two doorbells at one address, of which KVM takes the first alone. */
  #ioEventFd(doorbell: Doorbell, eventFd: number, flags: number): boolean {
    const ioeventfd = new s.kvm_ioeventfd(new ArrayBuffer(s.kvm_ioeventfd.byteLength));
    ioeventfd.addr = BigInt(doorbell.address);
    ioeventfd.len = doorbell.size;
    ioeventfd.fd = eventFd;
    ioeventfd.flags = flags;
    if (doorbell.space === "port") ioeventfd.flags |= s.KVM_IOEVENTFD_FLAG_PIO;
    if (doorbell.value !== undefined) {
      ioeventfd.flags |= s.KVM_IOEVENTFD_FLAG_DATAMATCH;
      ioeventfd.datamatch = BigInt(doorbell.value);
    }
    try {
      call(this.#detail.vmFd, k.KVM_IOEVENTFD, bytesOf(ioeventfd));
      return true;
    } catch (error) {
      if (error instanceof SysError) return false;
      throw error;
    }
  }

  /** `length` bytes that all lie in one slot, or undefined. */
  #guestView(address: number, length: number): Uint8Array | undefined {
    const start = this.#map.offsetOf(address);
    if (start < 0 || !this.#map.lastWritable || this.#map.bytesFrom(address) < length) {
      return undefined;
    }
    return this.#guest.subarray(start, start + length);
  }

  #readGuest(address: number, length: number): Uint8Array {
    const start = this.#map.offsetOf(address);
    if (start < 0) return new Uint8Array(0);
    return this.#guest.slice(start, start + Math.min(length, this.#map.bytesFrom(address)));
  }
}
