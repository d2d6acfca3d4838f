/**
 * A local APIC's model-specific registers: IA32_APIC_BASE, IA32_TSC_DEADLINE, and in x2APIC mode all
 * of its registers.
 *
 * References: Intel SDM volume 3, 11.4.3 and 11.4.4 (IA32_APIC_BASE), 11.5.4.1 (TSC deadline), 11.12
 * "Extended xAPIC (x2APIC)", of which table 11-6 gives the registers.
 *
 * What the processor answers with #GP is said to the caller. Used by the processor's own thread.
 */

import type { LocalApic } from "./local_apic.ts";
import { x2Logical } from "./local_apic.ts";
import { DeliveryMode } from "../apic_message.ts";
import * as r from "./registers.ts";
import { Reg } from "./registers.ts";

export const IA32_APIC_BASE = 0x1b;
export const IA32_TSC_DEADLINE = 0x6e0;
/** MSRs of the x2APIC registers: 800h to 8FFh. */
export const X2APIC_FIRST = 0x800;
export const X2APIC_LAST = 0x8ff;

/** Registers that x2APIC mode does not have, or that can only be written. */
const NOT_READABLE: readonly number[] = [Reg.APR, Reg.EOI, Reg.DFR, Reg.ICR2, Reg.SELF_IPI];

/** Bits that may be written to a register; writing any other is #GP. */
const WRITABLE = new Map<number, number>([
  [Reg.TPR, 0xff],
  [Reg.EOI, 0],
  [Reg.ESR, 0],
  [Reg.TMICT, 0xffff_ffff],
  [Reg.TDCR, 0xb],
  [Reg.SELF_IPI, r.VECTOR],
  // Read-only bits (delivery status, remote IRR) are not reserved.
  ...r.LVT.map(({ offset, writable }) => [offset, writable | r.DELIVERY_STATUS] as const),
  [Reg.LVT_LINT0, r.LVT[3].writable | r.DELIVERY_STATUS | r.REMOTE_IRR],
  [Reg.LVT_LINT1, r.LVT[4].writable | r.DELIVERY_STATUS | r.REMOTE_IRR],
]);
/** ICR, bits 31-0: vector, mode, logical, (delivery status), level, trigger, shorthand. */
const ICR_WRITABLE = 0xc_dfff;

/** The value of an MSR as two halves. */
export interface MsrValue {
  /** Bits 31-0, unsigned. */
  readonly low: number;
  /** Bits 63-32, unsigned. */
  readonly high: number;
}

/** See above. */
export class LocalApicMsrs {
  readonly #apic: LocalApic;
  readonly #highestAddressBits: number;

  /** @param physicalAddressBits Width of physical addresses (CPUID 80000008h): 32 to 52. */
  constructor(apic: LocalApic, physicalAddressBits: number) {
    this.#apic = apic;
    this.#highestAddressBits = 2 ** (physicalAddressBits - 32) - 1;
  }

  /** Is `msr` one of the local APIC's? */
  has(msr: number): boolean {
    return msr === IA32_APIC_BASE || msr === IA32_TSC_DEADLINE ||
      (msr >= X2APIC_FIRST && msr <= X2APIC_LAST);
  }

  /** RDMSR; undefined: #GP(0). */
  read(msr: number): MsrValue | undefined {
    const apic = this.#apic;
    const { state } = apic;
    if (msr === IA32_APIC_BASE) return { low: state.baseLow, high: state.baseHigh };
    if (msr === IA32_TSC_DEADLINE) return apic.timer.deadline;
    if (!apic.isX2) return undefined;
    const offset = (msr - X2APIC_FIRST) * r.REGISTER_STEP;
    if (offset === Reg.ID) return { low: state.id, high: 0 };
    if (offset === Reg.ICR) return { low: state.icrLow, high: state.icrHigh };
    if (NOT_READABLE.includes(offset)) return undefined;
    const low = apic.readRegister(offset);
    return low < 0 ? undefined : { low, high: 0 };
  }

  /** WRMSR of `high`:`low` (32 bits each, unsigned); false: #GP(0), and nothing has changed. */
  write(msr: number, low: number, high: number): boolean {
    const apic = this.#apic;
    if (msr === IA32_APIC_BASE) return this.#writeBase(low, high);
    if (msr === IA32_TSC_DEADLINE) {
      apic.timer.writeDeadline(low, high);
      return true;
    }
    if (!apic.isX2) return false;
    const offset = (msr - X2APIC_FIRST) * r.REGISTER_STEP;
    if (offset === Reg.ICR) return this.#writeIcr(low, high);
    const writable = offset === Reg.SVR ? apic.svrBits : WRITABLE.get(offset);
    if (writable === undefined || high !== 0 || (low & ~writable) !== 0) return false;
    if (offset !== Reg.SELF_IPI) return apic.writeRegister(offset, low);
    // As ICR with the shorthand "self", but ICR keeps its value (11.12.11).
    if (low < r.FIRST_VECTOR) apic.receiver.error(r.ESR_SEND_ILLEGAL_VECTOR);
    else {
      apic.receiver.accept({
        destination: apic.state.id,
        logical: false,
        mode: DeliveryMode.fixed,
        vector: low,
        level: true,
        levelTriggered: false,
      });
    }
    return true;
  }

  #writeIcr(low: number, high: number): boolean {
    if (low & ~ICR_WRITABLE) return false;
    this.#apic.state.icrHigh = high;
    this.#apic.command(low, high);
    return true;
  }

  #writeBase(low: number, high: number): boolean {
    const apic = this.#apic;
    const s = apic.state;
    const allowed = r.BASE_ADDRESS | r.BASE_ENABLED | r.BASE_X2APIC | r.BASE_BSP;
    if ((low & ~allowed) !== 0 || high > this.#highestAddressBits) return false;
    const enabled = (low & r.BASE_ENABLED) !== 0;
    const x2 = (low & r.BASE_X2APIC) !== 0;
    // Allowed are: off - xAPIC - x2APIC step by step, and from each to off (figure 11-27).
    if (x2 && (!enabled || !apic.enabled)) return false;
    if (!x2 && enabled && apic.isX2) return false;
    const entersX2 = x2 && !apic.isX2;
    const changes = enabled !== apic.enabled;
    s.baseLow = low;
    s.baseHigh = high;
    if (changes) {
      s.id = apic.index & 0xff;
      apic.init();
    }
    if (entersX2) {
      s.id = apic.index;
      s.ldr = x2Logical(s.id);
      s.icrHigh = 0;
    }
    return true;
  }
}
