/**
 * The chips that KVM holds: two 8259s, the I/O APIC, the 8254 and the paravirtual clock, as named
 * blobs of KVM's structures.
 */

import { bytesOf } from "../../../core/state/record.ts";
import * as k from "../api/ioctl.ts";
import { call, type Ioctl } from "../api/ioctl.ts";
import * as s from "../api/structs.ts";

interface Chip {
  readonly name: string;
  readonly byteLength: number;
  readonly get: Ioctl;
  readonly set: Ioctl;
  /** Written to the first word before the structure is asked for. */
  readonly id?: number;
}

const irqchip = (name: string, id: number): Chip => ({
  name,
  id,
  byteLength: s.kvm_irqchip.byteLength,
  get: k.KVM_GET_IRQCHIP,
  set: k.KVM_SET_IRQCHIP,
});

const CHIPS: readonly Chip[] = [
  // The slave first: a master that is set looks for a request of the slave, which must not be the
  // one from before.
  irqchip("kvm.pic1", s.KVM_IRQCHIP_PIC_SLAVE),
  irqchip("kvm.pic0", s.KVM_IRQCHIP_PIC_MASTER),
  irqchip("kvm.ioapic", s.KVM_IRQCHIP_IOAPIC),
  {
    name: "kvm.pit",
    byteLength: s.kvm_pit_state2.byteLength,
    get: k.KVM_GET_PIT2,
    set: k.KVM_SET_PIT2,
  },
];

const CLOCK = "kvm.clock";

/** Saves and loads the chips of one machine. */
export class Chips {
  readonly #vmFd: number;

  constructor(vmFd: number) {
    this.#vmFd = vmFd;
  }

  /** The chips and the clock. */
  save(): Map<string, Uint8Array> {
    const blobs = this.#saveChips();
    const clock = new Uint8Array(s.kvm_clock_data.byteLength);
    call(this.#vmFd, k.KVM_GET_CLOCK, clock);
    blobs.set(CLOCK, clock);
    return blobs;
  }

  /** The chips without the clock, which a reset does not touch. */
  saveForReset(): Map<string, Uint8Array> {
    return this.#saveChips();
  }

  /**
   * The reverse of `save`; chips that `blobs` has not stay as they are.
   *
   * @throws Error for a blob of the wrong length, SysError
   */
  restore(blobs: ReadonlyMap<string, Uint8Array>): void {
    for (const chip of CHIPS) {
      const blob = sized(blobs, chip.name, chip.byteLength);
      if (blob !== undefined) call(this.#vmFd, chip.set, blob);
    }
    const saved = sized(blobs, CLOCK, s.kvm_clock_data.byteLength);
    if (saved === undefined) return;
    // Only the time counts: the flags say what else KVM knew when it was asked.
    const clock = new s.kvm_clock_data(new ArrayBuffer(s.kvm_clock_data.byteLength));
    clock.clock = new s.kvm_clock_data(saved.buffer).clock;
    call(this.#vmFd, k.KVM_SET_CLOCK, bytesOf(clock));
  }

  #saveChips(): Map<string, Uint8Array> {
    const blobs = new Map<string, Uint8Array>();
    for (const chip of CHIPS) {
      const blob = new Uint8Array(chip.byteLength);
      if (chip.id !== undefined) blob[0] = chip.id;
      call(this.#vmFd, chip.get, blob);
      blobs.set(chip.name, blob);
    }
    return blobs;
  }
}

function sized(
  blobs: ReadonlyMap<string, Uint8Array>,
  name: string,
  byteLength: number,
): Uint8Array | undefined {
  const blob = blobs.get(name);
  if (blob === undefined) return undefined;
  if (blob.byteLength !== byteLength) {
    throw new Error(
      `Cannot restore ${name}: it has ${blob.byteLength} bytes, ${byteLength} are required`,
    );
  }
  // A copy of its own: the blob may be a part of a larger, shared or oddly placed buffer.
  return new Uint8Array(blob);
}
