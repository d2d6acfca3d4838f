/**
 * Power management of the PIIX4 as ACPI uses it: event and control registers, the timer, a block of
 * general purpose events, and the command port by which an operating system asks for ACPI mode. The
 * PCI function that says where the first block lies is devices/pci/piix4_pm.ts.
 *
 * Writing SLP_EN with the type of S5 (0) ends the machine. Any other sleep is over at once: WAK_STS
 * is set and the guest goes on.
 *
 * Left out: everything from offset 0Ch on (processor clock control, legacy device monitors, general
 * purpose I/O), which reads as zero; system management interrupts: ACPI mode is entered and left by
 * the chip itself, as with QEMU when it has no SMM.
 *
 * All three windows and the timer share one lock.
 *
 * References: 82371AB (290562-001), 7.2 "I/O space registers"; ACPI 6.4, 4.8.
 */

import type { Clock } from "../../hv/core/time/clock.ts";
import type { Device, IoHandler } from "../../hv/core/bus/device.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import { f64, record, u16, u32, u8 } from "../../hv/core/state/record.ts";
import type { Timer } from "../../hv/core/time/timer.ts";
import { nextOverflow, pmDeadlineNs, pmTicks } from "./acpi_pm_timer.ts";

/** Offsets in the power management block. */
const PMSTS = 0;
const PMEN = 2;
const PMCNTRL = 4;
const PMTMR = 8;
const IMPLEMENTED_BYTES = 12;

/** PMSTS and PMEN: power management status and enable. */
export const TMROF = 1 << 0;
export const GBL = 1 << 5;
export const PWRBTN = 1 << 8;
export const RTC = 1 << 10;
const WAK_STS = 1 << 15;
/** PMSTS: those above, BM_STS, PWRBTNOR_STS and WAK_STS; each is cleared by writing a one. */
const PMSTS_BITS = 0x8d31;
const PMEN_BITS = TMROF | GBL | PWRBTN | RTC;

/** PMCNTRL: power management control. */
const SCI_EN = 1 << 0;
const BRLD_EN = 1 << 1;
const SLP_TYP_SHIFT = 10;
const SLP_TYP = 7 << SLP_TYP_SHIFT;
const SLP_EN = 1 << 13;
const PMCNTRL_BITS = SCI_EN | BRLD_EN | SLP_TYP;

/** SLP_TYP of S5, soft off: what \_S5 in the DSDT must say. */
export const SLP_TYP_S5 = 0;

/** Values at the command port (SMI_CMD in the FADT): ACPI_ENABLE and ACPI_DISABLE. */
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;

/** State of the chip. */
export const AcpiPmState = record("acpi_pm", 1, {
  pmsts: u16,
  pmen: u16,
  pmcntrl: u16,
  /** Status and enable bits of the general purpose events. */
  gpsts: u16,
  gpen: u16,
  /** Command and status port (B2h, B3h). */
  apmc: u8,
  apms: u8,
  /** Requests for sleep states that do not exist. */
  ignoredSleeps: u32,
  /** Timer count at which TMROF_STS is set next. */
  overflowTicks: f64,
});
/** A view of `AcpiPmState`. */
export type AcpiPmState = InstanceType<typeof AcpiPmState>;

/** What the chip is connected to. */
export interface AcpiPmOptions {
  readonly clock: Clock;
  /** Under the chip's lock. */
  readonly timer: Timer;
  /** System control interrupt: IRQ 9, level. */
  readonly sci: IrqLine;
  /** Asks for the end of the machine; it must return before the machine ends. */
  readonly powerOff: () => void;
  /** Width of the timer: 24 as in the PIIX4 (default), 32 where the FADT says TMR_VAL_EXT. */
  readonly timerBits?: 24 | 32;
}

/** See above. */
export class AcpiPm implements Device {
  /** The power management block: 64 ports, access width 1 to 4. */
  readonly block: IoHandler = {
    read: (offset, size) => this.#readBlock(offset, size),
    write: (offset, size, value) => this.#writeBlock(offset, size, value),
  };
  /** GPE0: 4 ports, status (2) and enable (2), at AFE0h on QEMU's board; access width 1 to 4. */
  readonly gpe0: IoHandler = {
    read: (offset, size) => cut(this.#gpe0, offset, size),
    write: (offset, size, value) => this.#writeGpe0(offset, size, value),
  };
  /** Command port B2h and status port B3h; access width 1. */
  readonly command: IoHandler = {
    read: (offset) => offset === 0 ? this.#state.apmc : this.#state.apms,
    write: (offset, _size, value) => this.#writeCommand(offset, value),
  };
  readonly #state: AcpiPmState;
  readonly #options: AcpiPmOptions;
  readonly #timerBits: 24 | 32;

  constructor(state: AcpiPmState, options: AcpiPmOptions) {
    this.#state = state;
    this.#options = options;
    this.#timerBits = options.timerBits ?? 24;
    options.timer.onExpire = () => this.#update();
  }

  reset(): void {
    const state = this.#state;
    state.pmsts = state.pmen = state.pmcntrl = 0;
    state.gpsts = state.gpen = 0;
    state.apmc = state.apms = 0;
    state.ignoredSleeps = 0;
    state.overflowTicks = nextOverflow(this.#ticks, this.#timerBits);
    this.#update();
  }

  /** Is the guest in ACPI mode? */
  get acpiMode(): boolean {
    return (this.#state.pmcntrl & SCI_EN) !== 0;
  }

  /** The power button is pressed. Call it holding the chip's lock. */
  pressPowerButton(): void {
    this.#state.pmsts |= PWRBTN;
    this.#update();
  }

  /** General purpose event `bit` (0 to 15) happens. Call it holding the chip's lock. */
  raiseGpe(bit: number): void {
    this.#state.gpsts |= 1 << (bit & 15);
    this.#update();
  }

  get #ticks(): number {
    return pmTicks(this.#options.clock.nowNs());
  }

  /** PMSTS, with the overflow of the timer brought up to date. */
  #status(): number {
    const state = this.#state;
    if (this.#ticks >= state.overflowTicks) state.pmsts |= TMROF;
    return state.pmsts;
  }

  /** Drives the SCI, and arms the timer if its next overflow would change that. */
  #update(): void {
    const state = this.#state;
    const { sci, timer } = this.#options;
    const pending = (this.#status() & state.pmen) | (state.gpsts & state.gpen);
    sci.set(this.acpiMode && pending !== 0);
    const awaited = this.acpiMode && (state.pmen & TMROF) !== 0 && (state.pmsts & TMROF) === 0;
    if (!awaited) return timer.disarm();
    // Never now: where rounding makes the deadline a little early, the next one is a count later.
    const soon = this.#options.clock.nowNs() + 1e9 / 3_579_545;
    timer.arm(Math.max(pmDeadlineNs(state.overflowTicks), soon));
  }

  /** The twelve bytes of registers as three little-endian dwords. */
  #dword(index: number): number {
    const state = this.#state;
    if (index === PMSTS >> 2) return this.#status() + state.pmen * 2 ** 16;
    if (index === PMTMR >> 2) return this.#ticks % 2 ** this.#timerBits;
    return state.pmcntrl;
  }

  #readBlock(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size;) {
      const at = offset + i;
      const count = Math.min(size - i, 4 - (at & 3));
      const part = at < IMPLEMENTED_BYTES ? cut(this.#dword(at >> 2), at & 3, count) : 0;
      value += part * 2 ** (i * 8);
      i += count;
    }
    return value;
  }

  #writeBlock(offset: number, size: number, value: number): void {
    // What the bytes written leave alone: nothing is cleared in PMSTS, the others keep their bits.
    const state = this.#state;
    const clear = merge(0, PMSTS, offset, size, value) & PMSTS_BITS;
    const status = this.#status();
    if ((clear & status & TMROF) !== 0) {
      state.overflowTicks = nextOverflow(this.#ticks, this.#timerBits);
    }
    state.pmsts = status & ~clear;
    state.pmen = merge(state.pmen, PMEN, offset, size, value) & PMEN_BITS;
    const control = merge(state.pmcntrl, PMCNTRL, offset, size, value);
    state.pmcntrl = control & PMCNTRL_BITS;
    if ((control & SLP_EN) !== 0) this.#sleep((control & SLP_TYP) >> SLP_TYP_SHIFT);
    this.#update();
  }

  #sleep(type: number): void {
    if (type === SLP_TYP_S5) return this.#options.powerOff();
    this.#state.ignoredSleeps++;
    this.#state.pmsts |= WAK_STS;
  }

  get #gpe0(): number {
    return this.#state.gpsts + this.#state.gpen * 2 ** 16;
  }

  #writeGpe0(offset: number, size: number, value: number): void {
    const state = this.#state;
    state.gpsts &= ~merge(0, 0, offset, size, value);
    state.gpen = merge(state.gpen, 2, offset, size, value);
    this.#update();
  }

  #writeCommand(offset: number, value: number): void {
    const state = this.#state;
    if (offset !== 0) {
      state.apms = value;
      return;
    }
    state.apmc = value;
    if (value === ACPI_ENABLE) state.pmcntrl |= SCI_EN;
    if (value === ACPI_DISABLE) state.pmcntrl &= ~SCI_EN;
    this.#update();
  }
}

/** `size` bytes of a dword from byte `offset` on. */
const cut = (dword: number, offset: number, size: number): number =>
  Math.floor(dword / 2 ** (offset * 8)) % 2 ** (size * 8);

/** The 16-bit register at `register` after a write of `size` bytes at `offset` of the block. */
function merge(before: number, register: number, offset: number, size: number, value: number) {
  let after = before;
  for (let i = 0; i < 2; i++) {
    const from = register + i - offset;
    if (from < 0 || from >= size) continue;
    after = (after & ~(0xff << (i * 8))) | (((value >>> (from * 8)) & 0xff) << (i * 8));
  }
  return after;
}
