/**
 * The 8259 pair in the form that KVM gives and takes (`struct kvm_pic_state`), one blob a chip.
 *
 * That form knows neither LTIM nor single mode: a chip in LTIM is written as one with
 * all inputs level-triggered by ELCR. The cascade input has no level there.
 */

import { record, u8 } from "../../hv/core/state/record.ts";
import type { I8259, I8259State } from "./i8259.ts";
import type { I8259ChipState } from "./i8259_chip.ts";
import { KvmChip, newIrqchip, openIrqchip } from "./kvm_irqchip.ts";

const kvm_pic_state = record("kvm_pic_state", 1, {
  last_irr: u8,
  irr: u8,
  imr: u8,
  isr: u8,
  /** Input of the highest priority. */
  priority_add: u8,
  irq_base: u8,
  read_reg_select: u8,
  poll: u8,
  special_mask: u8,
  /** 0, or the number of the ICW awaited less 1. */
  init_state: u8,
  auto_eoi: u8,
  rotate_on_auto_eoi: u8,
  special_fully_nested_mode: u8,
  init4: u8,
  elcr: u8,
  elcr_mask: u8,
});
type KvmPicState = InstanceType<typeof kvm_pic_state>;

const CASCADE_BIT = 1 << 2;
const ELCR_MASKS = [0xf8, 0xde];

/** The master's and the slave's blobs. */
export function saveI8259(state: I8259State): [master: Uint8Array, slave: Uint8Array] {
  const master = newIrqchip(KvmChip.picMaster, kvm_pic_state);
  const slave = newIrqchip(KvmChip.picSlave, kvm_pic_state);
  saveChip(state.master, master.chip, ELCR_MASKS[0]);
  saveChip(state.slave, slave.chip, ELCR_MASKS[1]);
  master.chip.last_irr &= ~CASCADE_BIT;
  return [master.blob, slave.blob];
}

/**
 * The reverse of `saveI8259`; the pair's output follows.
 *
 * @throws {Error} For a blob of the wrong length or chip.
 */
export function restoreI8259(
  pic: I8259,
  state: I8259State,
  master: Uint8Array,
  slave: Uint8Array,
): void {
  const chips = [
    openIrqchip(KvmChip.picMaster, kvm_pic_state, master),
    openIrqchip(KvmChip.picSlave, kvm_pic_state, slave),
  ];
  restoreChip(state.master, chips[0], ELCR_MASKS[0]);
  restoreChip(state.slave, chips[1], ELCR_MASKS[1]);
  pic.refresh();
}

function saveChip(s: I8259ChipState, kvm: KvmPicState, elcrMask: number): void {
  kvm.last_irr = s.lines;
  kvm.irr = s.irr;
  kvm.imr = s.imr;
  kvm.isr = s.isr;
  kvm.priority_add = (s.lowest + 1) & 7;
  kvm.irq_base = s.vectorBase;
  kvm.read_reg_select = s.readsIsr ? 1 : 0;
  kvm.poll = s.poll ? 1 : 0;
  kvm.special_mask = s.specialMask ? 1 : 0;
  kvm.init_state = s.awaitedIcw === 0 ? 0 : s.awaitedIcw - 1;
  kvm.auto_eoi = s.autoEoi ? 1 : 0;
  kvm.rotate_on_auto_eoi = s.rotateOnAutoEoi ? 1 : 0;
  kvm.special_fully_nested_mode = s.specialFullyNested ? 1 : 0;
  kvm.init4 = s.hasIcw4 ? 1 : 0;
  kvm.elcr = s.ltim ? 0xff : s.elcr;
  kvm.elcr_mask = elcrMask;
}

function restoreChip(s: I8259ChipState, kvm: KvmPicState, elcrMask: number): void {
  s.lines = kvm.last_irr;
  s.irr = kvm.irr;
  s.imr = kvm.imr;
  s.isr = kvm.isr;
  s.lowest = (kvm.priority_add + 7) & 7;
  s.vectorBase = kvm.irq_base & 0xf8;
  s.readsIsr = kvm.read_reg_select !== 0;
  s.poll = kvm.poll !== 0;
  s.specialMask = kvm.special_mask !== 0;
  s.awaitedIcw = kvm.init_state === 0 ? 0 : Math.min(kvm.init_state + 1, 4);
  s.autoEoi = kvm.auto_eoi !== 0;
  s.rotateOnAutoEoi = kvm.rotate_on_auto_eoi !== 0;
  s.specialFullyNested = kvm.special_fully_nested_mode !== 0;
  s.hasIcw4 = kvm.init4 !== 0;
  s.ltim = kvm.elcr === 0xff;
  s.elcr = kvm.elcr & elcrMask;
  s.single = false;
}
