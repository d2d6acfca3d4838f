/**
 * A local APIC in the common form of a processor's state: its 1 KiB page of registers as KVM gives and
 * takes it (`struct kvm_lapic_state`), with IA32_APIC_BASE and IA32_TSC_DEADLINE beside it.
 *
 * The ID is in bits 31-24 in x2APIC mode too, as KVM has it unless it is asked for another form. NMI,
 * SMI, INIT and start-up interrupts that wait are not in it: they are among the processor's events.
 */

import type { LocalApic } from "./local_apic.ts";
import { x2Logical } from "./local_apic.ts";
import * as r from "./registers.ts";
import { Reg } from "./registers.ts";

/** What the page does not have. */
export interface LocalApicMsrState {
  /** IA32_APIC_BASE. */
  readonly apicBase: bigint;
  /** IA32_TSC_DEADLINE; 0: none. */
  readonly tscDeadline: bigint;
}

/** Registers that are saved; of ISR, TMR and IRR the first of eight. */
const SAVED: readonly number[] = [
  Reg.ID,
  Reg.VERSION,
  Reg.TPR,
  Reg.PPR,
  Reg.LDR,
  Reg.DFR,
  Reg.SVR,
  Reg.ESR,
  Reg.ICR,
  Reg.ICR2,
  ...r.LVT.map(({ offset }) => offset),
  Reg.TMICT,
  Reg.TMCCT,
  Reg.TDCR,
  ...[Reg.ISR, Reg.TMR, Reg.IRR].flatMap((first) =>
    Array.from({ length: 8 }, (_, i) => first + i * r.REGISTER_STEP)
  ),
];

const join = (low: number, high: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0);
const lowOf = (value: bigint): number => Number(value & 0xffff_ffffn);
const highOf = (value: bigint): number => Number((value >> 32n) & 0xffff_ffffn);

/** Writes the page (1024 bytes), and returns the rest. Only while the processor does not run. */
export function saveLocalApic(apic: LocalApic, page: Uint8Array): LocalApicMsrState {
  const words = new DataView(page.buffer, page.byteOffset, r.REGISTERS_BYTES);
  page.fill(0, 0, r.REGISTERS_BYTES);
  for (const offset of SAVED) words.setUint32(offset, apic.readRegister(offset), true);
  const { state } = apic;
  const { low, high } = apic.timer.deadline;
  return { apicBase: join(state.baseLow, state.baseHigh), tscDeadline: join(low, high) };
}

/** The reverse of `saveLocalApic`; the timer goes on from its current count. */
export function restoreLocalApic(
  apic: LocalApic,
  page: Uint8Array,
  { apicBase, tscDeadline }: LocalApicMsrState,
): void {
  const words = new DataView(page.buffer, page.byteOffset, r.REGISTERS_BYTES);
  const word = (offset: number) => words.getUint32(offset, true);
  const s = apic.state;
  const known = r.BASE_ADDRESS | r.BASE_BSP | r.BASE_ENABLED | r.BASE_X2APIC;
  s.baseLow = lowOf(apicBase) & known;
  if (!(s.baseLow & r.BASE_ENABLED)) s.baseLow &= ~r.BASE_X2APIC;
  s.baseHigh = highOf(apicBase) & 0xf_ffff;
  for (let i = 0; i < 8; i++) {
    const at = i * r.REGISTER_STEP;
    // Exceptions' vectors cannot be interrupts'.
    const usable = i === 0 ? ~((1 << r.FIRST_VECTOR) - 1) : -1;
    Atomics.store(s.isr, i, word(Reg.ISR + at) & usable);
    Atomics.store(s.tmr, i, word(Reg.TMR + at) & usable);
    Atomics.store(s.irr, i, word(Reg.IRR + at) & usable);
  }
  Atomics.store(s.errors, 0, 0);
  s.id = word(Reg.ID) >>> 24;
  s.tpr = word(Reg.TPR) & 0xff;
  s.ldr = apic.isX2 ? x2Logical(s.id) : word(Reg.LDR) & 0xff00_0000;
  s.dfr = word(Reg.DFR) | r.DFR_ONES;
  s.svr = word(Reg.SVR) & apic.svrBits;
  s.esr = word(Reg.ESR) & 0xff;
  s.icrLow = word(Reg.ICR) & r.ICR_BITS;
  s.icrHigh = word(Reg.ICR2);
  for (const { offset, field, writable } of r.LVT) s[field] = word(offset) & writable;
  const awaitsEoi = (offset: number) => (word(offset) & r.REMOTE_IRR) !== 0;
  apic.receiver.setLintAwaitsEoi(0, awaitsEoi(Reg.LVT_LINT0));
  apic.receiver.setLintAwaitsEoi(1, awaitsEoi(Reg.LVT_LINT1));
  apic.timer.restore({
    initialCount: word(Reg.TMICT),
    currentCount: word(Reg.TMCCT),
    divide: word(Reg.TDCR),
    deadlineLow: lowOf(tscDeadline),
    deadlineHigh: highOf(tscDeadline),
  });
  apic.refresh();
}
