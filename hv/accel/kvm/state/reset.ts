/**
 * The state of a processor after RESET (Intel SDM volume 3, table 10-1 "IA-32 and Intel 64
 * Processor States Following Power-up, Reset, or INIT"; local APIC: section 11.4.7.1).
 */

import * as cpu from "../../cpu_state.ts";
import { Activity, CpuState } from "../../cpu_state.ts";
import { readCpuid } from "../cpuid_table.ts";
import { MsrFile } from "./msr.ts";

const RFLAGS_RESERVED = 2n;
/** CD, NW and ET. */
const CR0_RESET = 0x6000_0010n;
const DR6_RESET = 0xffff_0ff0n;
const DR7_RESET = 0x400n;
/** Enabled at FEE00000h; bit 8 marks the boot processor. */
const APIC_BASE_RESET = 0xfee0_0800n;
const APIC_BASE_BSP = 0x100n;

/** Offsets in the FXSAVE image and the XSAVE header. */
const FCW = 0;
const FTW = 4;
const MXCSR = 24;
const XSTATE_BV = 512;

const MSR_IA32_PAT = 0x277;
const MSR_IA32_SMBASE = 0x9e;

/** Registers that RESET clears; ranges are inclusive. */
const ZERO_MSRS: readonly (readonly [number, number])[] = [
  [0x3b, 0x3b], // IA32_TSC_ADJUST
  [0x48, 0x48], // IA32_SPEC_CTRL
  [0x174, 0x176], // SYSENTER
  [0x1d9, 0x1d9], // DEBUGCTL
  [0x200, 0x20f], // variable MTRRs
  [0x250, 0x250],
  [0x258, 0x259],
  [0x268, 0x26f], // fixed MTRRs
  [0x2ff, 0x2ff], // MTRR default type
  [0x6e0, 0x6e0], // TSC deadline
  [0xda0, 0xda0], // XSS
  [0xc000_0081, 0xc000_0084], // STAR, LSTAR, CSTAR, FMASK
  [0xc000_0102, 0xc000_0103], // KERNEL_GS_BASE, TSC_AUX
  [0x11, 0x12], // KVM clock, old numbers
  [0x4b56_4d00, 0x4b56_4d04], // KVM clock, asynchronous page faults, steal time, EOI
];

/** Registers of the local APIC that are not zero after RESET, by offset. */
function resetApic(index: number): readonly (readonly [number, number])[] {
  const MASKED = 0x1_0000;
  return [
    [0x20, index * 0x100_0000], // ID
    [0x30, 0x5_0014], // version 14h, six local vectors
    [0xe0, 0xffff_ffff], // destination format
    [0xf0, 0xff], // spurious vector, software-disabled
    [0x320, MASKED], // timer
    [0x330, MASKED], // thermal
    [0x340, MASKED], // performance counters
    // LINT0 of the boot processor takes the 8259's interrupts, as a PC's BIOS leaves it
    // (virtual wire mode, MP specification 3.6.2.2): 16-bit systems know no local APIC.
    [0x350, index === 0 ? 0x700 : MASKED],
    [0x360, MASKED], // LINT1
    [0x370, MASKED], // error
  ];
}

/** @param fd Descriptor of the vCPU, for the processor's signature. */
export function resetState(index: number, fd: number): CpuState {
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  // EDX holds the signature of family, model and stepping.
  state.general[2] = BigInt(readCpuid(fd).find((leaf) => leaf.function === 1)?.eax ?? 0);
  state.rip = 0xfff0n;
  state.rflags = RFLAGS_RESERVED;
  const memory = cpu.ACCESS_PRESENT | cpu.ACCESS_S;
  for (const name of ["es", "cs", "ss", "ds", "fs", "gs"] as const) {
    state[name].limit = 0xffff;
    state[name].access = memory | 0x3; // data, writable, accessed
  }
  state.cs.base = 0xffff_0000n;
  state.cs.selector = 0xf000;
  state.cs.access = memory | 0xb; // code, readable, accessed
  state.ldtr.limit = 0xffff;
  state.ldtr.access = cpu.ACCESS_PRESENT | 0x2;
  state.tr.limit = 0xffff;
  state.tr.access = cpu.ACCESS_PRESENT | 0xb; // busy: hardware accepts no other
  state.gdtr.limit = 0xffff;
  state.idtr.limit = 0xffff;
  state.cr0 = CR0_RESET;
  state.apicBase = APIC_BASE_RESET | (index === 0 ? APIC_BASE_BSP : 0n);
  state.dr6 = DR6_RESET;
  state.dr7 = DR7_RESET;
  state.xcr0 = 1n;
  const xsave = new DataView(state.xsave.buffer, state.xsave.byteOffset, state.xsave.byteLength);
  xsave.setUint16(FCW, 0x40, true);
  xsave.setUint8(FTW, 0xff); // tags 5555h: every register holds +0.0
  xsave.setUint32(MXCSR, 0x1f80, true);
  xsave.setUint32(XSTATE_BV, 3, true);
  const apic = new DataView(state.apic.buffer, state.apic.byteOffset, state.apic.byteLength);
  for (const [offset, value] of resetApic(index)) apic.setUint32(offset, value, true);
  state.activity = index === 0 ? Activity.running : Activity.awaitsInit;

  const msrs: [number, bigint][] = [
    [MSR_IA32_PAT, 0x0007_0406_0007_0406n],
    [MSR_IA32_SMBASE, 0x3_0000n],
  ];
  for (const [first, last] of ZERO_MSRS) {
    for (let msr = first; msr <= last; msr++) msrs.push([msr, 0n]);
  }
  // Hosts differ in what they have: only what can be read is set.
  const present = new MsrFile(fd).read(msrs.map(([msr]) => msr));
  const settable = msrs.filter(([msr, value]) => present.has(msr) && present.get(msr) !== value);
  state.msrCount = settable.length;
  settable.forEach(([msr, value], i) => {
    state.msrIndices[i] = msr;
    state.msrValues[i] = value;
  });
  return state;
}
