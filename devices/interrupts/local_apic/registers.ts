/**
 * Registers and state of a local APIC.
 *
 * References: Intel SDM volume 3, table 11-1 "Local APIC Register Address Map" and table 11-6 "Local
 * APIC Register Address Space Supported by x2APIC" (chapter numbers as of 2023: 11 is "Advanced
 * Programmable Interrupt Controller").
 */

import { f64, record, u32, words } from "../../../hv/core/state/record.ts";

/** Offsets in the register page; in x2APIC mode MSR 800h + offset / 16. R/W unless said otherwise. */
export const Reg = {
  ID: 0x020,
  /** R. */
  VERSION: 0x030,
  /** Task priority. */
  TPR: 0x080,
  /** Arbitration priority, R, xAPIC only. */
  APR: 0x090,
  /** Processor priority, R. */
  PPR: 0x0a0,
  /** W. */
  EOI: 0x0b0,
  /** Logical destination; read-only in x2APIC mode. */
  LDR: 0x0d0,
  /** Destination format, xAPIC only. */
  DFR: 0x0e0,
  /** Spurious-interrupt vector. */
  SVR: 0x0f0,
  /** In service, trigger mode, requests: 8 registers each, R. */
  ISR: 0x100,
  TMR: 0x180,
  IRR: 0x200,
  /** Error status. */
  ESR: 0x280,
  /** Interrupt command: bits 31-0, and in xAPIC mode 63-32. */
  ICR: 0x300,
  ICR2: 0x310,
  LVT_TIMER: 0x320,
  LVT_THERMAL: 0x330,
  LVT_PERFORMANCE: 0x340,
  LVT_LINT0: 0x350,
  LVT_LINT1: 0x360,
  LVT_ERROR: 0x370,
  /** Initial count; current count, R; divide configuration. */
  TMICT: 0x380,
  TMCCT: 0x390,
  TDCR: 0x3e0,
  /** W, x2APIC only. */
  SELF_IPI: 0x3f0,
} as const;

/** Bytes from one register to the next, and of all of them. */
export const REGISTER_STEP = 0x10;
export const REGISTERS_BYTES = 0x400;

/** VERSION: an integrated APIC with six local vectors. */
export const VERSION_VALUE = 0x5_0014;
/** Bit 24: SVR can suppress the broadcast of EOIs. */
export const VERSION_EOI_SUPPRESSION = 1 << 24;

/** SVR. */
export const SVR_VECTOR = 0xff;
export const SVR_ENABLED = 1 << 8;
export const SVR_FOCUS_DISABLED = 1 << 9;
export const SVR_SUPPRESS_EOI = 1 << 12;

/** DFR: model in bits 31-28; the others read as ones. */
export const DFR_ONES = 0x0fff_ffff;
export const DFR_FLAT = 0xf;
export const DFR_CLUSTER = 0x0;

/** LVT and ICR. */
export const VECTOR = 0xff;
export const MODE_SHIFT = 8;
export const MODE_BITS = 7 << MODE_SHIFT;
export const DELIVERY_STATUS = 1 << 12;
export const POLARITY_LOW = 1 << 13;
export const REMOTE_IRR = 1 << 14;
export const LEVEL_TRIGGERED = 1 << 15;
export const MASKED = 1 << 16;
/** LVT_TIMER: mode in bits 18-17. */
export const TIMER_MODE_SHIFT = 17;
export const TimerMode = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;
/** ICR. */
export const ICR_LOGICAL = 1 << 11;
export const ICR_ASSERT = 1 << 14;
/** Bits of ICR 31-0 that are kept; delivery status reads 0. */
export const ICR_BITS = 0xc_cfff;
export const ICR_SHORTHAND_SHIFT = 18;
export const Shorthand = { none: 0, self: 1, all: 2, others: 3 } as const;

/** ESR. */
export const ESR_SEND_ILLEGAL_VECTOR = 1 << 5;
export const ESR_RECEIVE_ILLEGAL_VECTOR = 1 << 6;
export const ESR_ILLEGAL_REGISTER = 1 << 7;

/** Vectors below are exceptions: no interrupt may have them. */
export const FIRST_VECTOR = 16;

/** IA32_APIC_BASE (MSR 1Bh), bits 31-0. */
export const BASE_BSP = 1 << 8;
export const BASE_X2APIC = 1 << 10;
export const BASE_ENABLED = 1 << 11;
export const BASE_ADDRESS = 0xffff_f000;
export const BASE_RESET = 0xfee0_0000;

/** The local vectors, their fields of the state, and the bits that can be written (figure 11-8). */
export const LVT = [
  { offset: Reg.LVT_TIMER, field: "lvtTimer", writable: 0x7_00ff },
  { offset: Reg.LVT_THERMAL, field: "lvtThermal", writable: 0x1_07ff },
  { offset: Reg.LVT_PERFORMANCE, field: "lvtPerformance", writable: 0x1_07ff },
  { offset: Reg.LVT_LINT0, field: "lvtLint0", writable: 0x1_a7ff },
  { offset: Reg.LVT_LINT1, field: "lvtLint1", writable: 0x1_a7ff },
  { offset: Reg.LVT_ERROR, field: "lvtError", writable: 0x1_00ff },
] as const;

/** What the processor is to take besides vectors: bits of `LocalApicState.latches`. */
export const Latch = {
  nmi: 1 << 0,
  smi: 1 << 1,
  init: 1 << 2,
  /** Start-up interrupt: `LocalApic.startUpVector` has its vector. */
  startUp: 1 << 3,
  /** An ExtINT message: the vector comes from the 8259s. */
  extInt: 1 << 4,
} as const;

/**
 * A local APIC's state. The words may be changed by any thread, by `Atomics`; everything else is
 * written by the processor's own thread alone. Others read some of it (ID, LDR, DFR, SVR, TPR, the
 * local vectors): aligned 32-bit fields, of which they see the old value or the new one.
 */
export const LocalApicState = record("local_apic", 1, {
  /** Requests and trigger modes (1: level), a bit a vector. */
  irr: words(8),
  tmr: words(8),
  /** The `Latch` bits, and the vector of the last start-up interrupt. */
  latches: words(1),
  startUpVector: words(1),
  /** Errors since ESR was written. */
  errors: words(1),
  /** Bits 0 and 1: LINT0 and LINT1 are asserted; 2 and 3: their interrupts are not ended yet. */
  lint: words(1),
  /** In service. Written by the processor's thread. */
  isr: words(8),
  /** APIC ID as a number: 8 bits in xAPIC mode. */
  id: u32,
  tpr: u32,
  ldr: u32,
  dfr: u32,
  svr: u32,
  esr: u32,
  icrLow: u32,
  icrHigh: u32,
  lvtTimer: u32,
  lvtThermal: u32,
  lvtPerformance: u32,
  lvtLint0: u32,
  lvtLint1: u32,
  lvtError: u32,
  /** IA32_APIC_BASE. */
  baseLow: u32,
  baseHigh: u32,
  /** Timer: TMICT and TDCR; at guest time `countNs` the count was `count`, 0: it stands. */
  initialCount: u32,
  divide: u32,
  count: u32,
  countNs: f64,
  /** IA32_TSC_DEADLINE as written; 0: none. Written under the timer's lock. */
  deadlineLow: u32,
  deadlineHigh: u32,
});
/** A view of `LocalApicState`. */
export type LocalApicState = InstanceType<typeof LocalApicState>;
