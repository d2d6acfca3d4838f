/**
 * Model-specific registers, interrupt flag, HLT, CPUID, the counters (Intel SDM
 * volume 2; volume 3, chapter 2).
 */

import { isCanonical } from "../memory/linear_address.ts";
import { Status } from "../codegen/operation.ts";
import { CR0_MP, CR0_TS, CR4_FSGSBASE, CR4_OSXSAVE, CR4_TSD } from "../state/control_bits.ts";
import type { Cpu, Service } from "../cpu.ts";
import { cpuid } from "../model/cpuid.ts";
import { fault, Vector } from "../events/faults.ts";
import { AC, IF, IOPL, VIF } from "../state/flags_word.ts";
import { readMsr, writeMsr } from "../model/msr.ts";
import { AccessKind } from "../memory/paging.ts";
import { Seg } from "../state/state.ts";
import { readTsc } from "../model/time_stamp.ts";
import { setVirtualFlag, usesVirtualFlag } from "../events/virtual_interrupts.ts";
import { goOn } from "./control_registers.ts";
import { requirePrivilege } from "./segments.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const SHADOW_STI = 2;

const protectionFault = (cpu: Cpu): never => fault(cpu.state, Vector.generalProtection, 0);

/** CR4.TSD keeps RDTSC to privilege 0. */
function readCounter(cpu: Cpu): void {
  const { state } = cpu;
  if ((state.cr4 & CR4_TSD) !== 0 && state.cpl !== 0 && cpu.isProtected) protectionFault(cpu);
  setPair(cpu, readTsc(cpu));
}

/** EDX:EAX. */
function setPair(cpu: Cpu, value: bigint): void {
  cpu.setGeneral(RAX, 32, value & 0xffff_ffffn);
  cpu.setGeneral(RDX, 32, value >> 32n & 0xffff_ffffn);
}

function checkInterruptFlag(cpu: Cpu): void {
  const { state } = cpu;
  if (!cpu.isProtected) return;
  const iopl = (cpu.flags & IOPL) >> 12;
  if (state.cpl > iopl) protectionFault(cpu);
}

const setAc = (value: boolean): Service => (cpu) => {
  if (cpu.state.cpl !== 0 || cpu.isVirtual8086) fault(cpu.state, Vector.undefinedOpcode);
  const { eflags } = cpu.state;
  cpu.state.eflags = value ? eflags | AC : eflags & ~AC;
  cpu.memory.tlb.selectTables();
  return Status.next;
};

const segmentBase = (n: number, isWrite: boolean): Service => (cpu, { size }) => {
  const { state } = cpu;
  if ((state.cr4 & CR4_FSGSBASE) === 0) fault(state, Vector.undefinedOpcode);
  const segment = cpu.segment(n);
  if (!isWrite) {
    cpu.writeRegister(cpu.registerAt(0), size, BigInt.asUintN(size, segment.base));
    return Status.next;
  }
  const base = cpu.readRegister(cpu.registerAt(0), size);
  if (!isCanonical(base)) protectionFault(cpu);
  segment.base = base;
  return Status.next;
};

/** See above. */
export const SYSTEM_SERVICES = {
  cli: (cpu) => {
    if (usesVirtualFlag(cpu)) {
      cpu.state.eflags &= ~VIF;
      return Status.next;
    }
    checkInterruptFlag(cpu);
    cpu.state.eflags &= ~IF;
    return Status.next;
  },
  sti: (cpu) => {
    if (usesVirtualFlag(cpu)) {
      setVirtualFlag(cpu);
      return goOn(cpu);
    }
    checkInterruptFlag(cpu);
    const { state } = cpu;
    const before = state.eflags;
    if ((before & IF) === 0) {
      state.shadow |= SHADOW_STI;
      state.eflags |= IF;
      cpu.flagsChanged(before);
    }
    return goOn(cpu);
  },
  clac: setAc(false),
  stac: setAc(true),
  hlt: (cpu) => {
    requirePrivilege(cpu);
    cpu.state.rip = cpu.nextRip();
    return Status.halt;
  },
  cpuid: (cpu) => {
    const leaf = Number(cpu.general(RAX, 32));
    const subleaf = Number(cpu.general(RCX, 32));
    const [a, b, c, d] = cpuid(leaf, subleaf, {
      index: cpu.index,
      cpus: cpu.cpus,
      apic: cpu.interrupts?.enabled ?? false,
      words: cpu.featureWords,
      osxsave: (cpu.state.cr4 & CR4_OSXSAVE) !== 0,
    });
    const unsigned = (value: number) => BigInt(value >>> 0);
    cpu.setGeneral(RAX, 32, unsigned(a));
    cpu.setGeneral(RBX, 32, unsigned(b));
    cpu.setGeneral(RCX, 32, unsigned(c));
    cpu.setGeneral(RDX, 32, unsigned(d));
    // It serialises: code that others have written is seen from here on.
    return cpu.state.pending[0] === 0 ? Status.next : goOn(cpu);
  },
  rdtsc: (cpu) => {
    readCounter(cpu);
    return Status.next;
  },
  rdtscp: (cpu) => {
    readCounter(cpu);
    cpu.setGeneral(RCX, 32, BigInt(cpu.state.tscAux));
    return Status.next;
  },
  rdpid: (cpu) => {
    cpu.writeRegister(cpu.registerAt(0), 64, BigInt(cpu.state.tscAux));
    return Status.next;
  },
  // There are no caches, but an address that cannot be read faults; a device is not asked.
  clflush: (cpu) => {
    cpu.memory.translate(cpu.operandLinear(1, false), AccessKind.read, cpu.privilege);
    return Status.next;
  },
  rdpmc: (cpu) => protectionFault(cpu),
  rdmsr: (cpu) => {
    requirePrivilege(cpu);
    const value = readMsr(cpu, Number(cpu.general(RCX, 32)));
    if (value === undefined) return protectionFault(cpu);
    setPair(cpu, value);
    return Status.next;
  },
  wrmsr: (cpu) => {
    requirePrivilege(cpu);
    const value = cpu.general(RDX, 32) << 32n | cpu.general(RAX, 32);
    if (!writeMsr(cpu, Number(cpu.general(RCX, 32)), value)) protectionFault(cpu);
    return goOn(cpu);
  },
  invd: (cpu) => {
    requirePrivilege(cpu);
    return Status.next;
  },
  rdfsbase: segmentBase(Seg.fs, false),
  rdgsbase: segmentBase(Seg.gs, false),
  wrfsbase: segmentBase(Seg.fs, true),
  wrgsbase: segmentBase(Seg.gs, true),
  swapgs: (cpu) => {
    requirePrivilege(cpu);
    const gs = cpu.segment(Seg.gs);
    const base = gs.base;
    gs.base = cpu.state.kernelGsBase;
    cpu.state.kernelGsBase = base;
    return Status.next;
  },
  fwait: (cpu) => {
    const { cr0 } = cpu.state;
    if ((cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) {
      fault(cpu.state, Vector.deviceNotAvailable);
    }
    cpu.x87.checkPending();
    return Status.next;
  },
  rsm: (cpu) => fault(cpu.state, Vector.undefinedOpcode),
} satisfies Readonly<Record<string, Service>>;
