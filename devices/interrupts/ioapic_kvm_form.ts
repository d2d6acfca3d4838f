/**
 * The I/O APIC in the form that KVM gives and takes (`struct kvm_ioapic_state`).
 *
 * The requests (`irr`) in it are the levels of level-triggered inputs. What edge-triggered ones have
 * asserted is not in it; whoever restores knows it from elsewhere (the 8259s), or else the next rise of
 * a line that is high counts as one edge too many.
 */

import { record, u32, u32s, u64 } from "../../hv/core/state/record.ts";
import { type IoApic, IOAPIC_PINS, type IoApicState, isLevelTriggered } from "./ioapic.ts";
import { KvmChip, newIrqchip, openIrqchip } from "./kvm_irqchip.ts";

const kvm_ioapic_state = record("kvm_ioapic_state", 1, {
  base_address: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: u32,
  /** Bits 31-0 and 63-32 of each entry. */
  redirtbl: u32s(2 * IOAPIC_PINS),
});

/** Bits of an entry that exist, remote IRR among them. */
const LOW_BITS = 0x1_efff;
const HIGH_BITS = 0xff00_0000;

/** The blob. `baseAddress` is the chip's guest-physical address, which it does not know itself. */
export function saveIoApic(state: IoApicState, baseAddress: number): Uint8Array {
  const { blob, chip } = newIrqchip(KvmChip.ioapic, kvm_ioapic_state);
  chip.base_address = BigInt(baseAddress);
  chip.ioregsel = state.select;
  chip.id = state.id;
  for (let pin = 0; pin < IOAPIC_PINS; pin++) {
    chip.redirtbl[2 * pin] = state.low[pin];
    chip.redirtbl[2 * pin + 1] = state.high[pin];
    if (isLevelTriggered(state.low[pin])) chip.irr |= state.lines & (1 << pin);
  }
  return blob;
}

/**
 * The reverse of `saveIoApic`; level-triggered inputs ask again.
 *
 * @param asserted Inputs known to be asserted, a bit each.
 * @throws {Error} For a blob of the wrong length or chip.
 */
export function restoreIoApic(
  ioapic: IoApic,
  state: IoApicState,
  blob: Uint8Array,
  asserted = 0,
): void {
  const chip = openIrqchip(KvmChip.ioapic, kvm_ioapic_state, blob);
  state.select = chip.ioregsel & 0xff;
  state.id = state.arbitration = chip.id & 0xf;
  for (let pin = 0; pin < IOAPIC_PINS; pin++) {
    state.low[pin] = chip.redirtbl[2 * pin] & LOW_BITS;
    state.high[pin] = chip.redirtbl[2 * pin + 1] & HIGH_BITS;
  }
  state.lines = (chip.irr | asserted) & (2 ** IOAPIC_PINS - 1);
  ioapic.refresh();
}
