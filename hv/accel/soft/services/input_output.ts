/** Ports (Intel SDM volume 1, chapter 19; volume 2: IN, INS, OUT, OUTS). */

import { AddressKind, OP, Status } from "../codegen/operation.ts";
import type { Cpu, Service } from "../cpu.ts";
import type { ServiceCall } from "../operands.ts";
import { awaitDevice, fault, Vector } from "../events/faults.ts";
import { DF } from "../state/flags_word.ts";
import { Privilege } from "../memory/paging.ts";
import { Seg, segmentAt } from "../state/state.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RSI = 6;
const RDI = 7;
const IOPL_SHIFT = 12;
const IO_MAP_BASE = 102;
const TSS_WIDE = 8;

/** #GP(0) unless IOPL or the TSS's permission map allows all `bytes` ports from `port` on. */
function checkPermission(cpu: Cpu, port: number, bytes: number): void {
  const { state } = cpu;
  if (!cpu.isProtected) return;
  const iopl = cpu.flags >> IOPL_SHIFT & 3;
  if (!cpu.isVirtual8086 && state.cpl <= iopl) return;
  const tr = state.segments[Seg.tr];
  const refuse = () => fault(state, Vector.generalProtection, 0);
  if ((tr.access & TSS_WIDE) === 0 || tr.limit < IO_MAP_BASE + 1) refuse();
  const read = (offset: number) =>
    Number(cpu.memory.read(tr.base + BigInt(offset), 2, Privilege.implicit));
  const at = read(IO_MAP_BASE) + (port >> 3);
  if (at + 1 > tr.limit) refuse();
  const mask = (1 << bytes) - 1 << (port & 7);
  if ((read(at) & mask) !== 0) refuse();
}

/** The port: the immediate of the forms that have one, else DX. */
const portOf = (cpu: Cpu): number => Number(cpu.general(RDX, 16));

function readPort(cpu: Cpu, port: number, bytes: number): bigint {
  checkPermission(cpu, port, bytes);
  cpu.breakpoints.portAccess(port, bytes);
  if (!cpu.log.serve(port, bytes, false, true)) awaitDevice();
  return BigInt.asUintN(bytes * 8, cpu.log.access.data.getBigUint64(0, true));
}

const input = (cpu: Cpu, size: number, port: number): Status => {
  cpu.setGeneral(RAX, size, readPort(cpu, port, size >> 3));
  return Status.next;
};

/** Completes OUT first, then lets the device have it: the registers are those after it. */
const output = (cpu: Cpu, size: number, port: number): Status => {
  checkPermission(cpu, port, size >> 3);
  cpu.breakpoints.portAccess(port, size >> 3);
  cpu.log.clear();
  cpu.log.serve(port, size >> 3, true, true, cpu.general(RAX, size));
  cpu.state.rip = cpu.nextRip();
  return Status.accessDone;
};

/** Mask of the address size of a string instruction. */
function addressMask(cpu: Cpu): bigint {
  const kind = cpu.data.getUint8(cpu.state.op + OP.kind);
  if (kind === AddressKind.segment16) return 0xffffn;
  return kind <= AddressKind.based ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
}

function advance(cpu: Cpu, register: number, by: bigint, mask: bigint): void {
  const old = cpu.state.general[register];
  const kept = mask === 0xffffn ? old & ~0xffffn : 0n;
  cpu.state.general[register] = kept | BigInt.asUintN(64, old + by) & mask;
}

/** One item of INS or OUTS, then the instruction again while REP counts. */
const string = (
  register: number,
  item: (cpu: Cpu, bytes: number, mask: bigint) => void,
): Service =>
(cpu, { size }: ServiceCall) => {
  const mask = addressMask(cpu);
  const bytes = size >> 3;
  const repeats = cpu.immediate === 1n;
  if (repeats && (cpu.state.general[RCX] & mask) === 0n) return Status.next;
  item(cpu, bytes, mask);
  const down = (cpu.flags & DF) !== 0;
  advance(cpu, register, BigInt(down ? -bytes : bytes), mask);
  if (!repeats) return Status.next;
  advance(cpu, RCX, -1n, mask);
  return (cpu.state.general[RCX] & mask) === 0n ? Status.next : Status.pendingHere;
};

/** ES:rDI. */
function destination(cpu: Cpu, bytes: number, mask: bigint): bigint {
  const offset = cpu.state.general[RDI] & mask;
  return cpu.operationNotLong ? cpu.segmentLinear(segmentAt(Seg.es), offset, bytes, true) : offset;
}

/** See above. */
export const INPUT_OUTPUT_SERVICES = {
  in: (cpu, { size }) => input(cpu, size, portOf(cpu)),
  out: (cpu, { size }) => output(cpu, size, portOf(cpu)),
  inImmediate: (cpu, { size }) => input(cpu, size, Number(cpu.immediate & 0xffn)),
  outImmediate: (cpu, { size }) => output(cpu, size, Number(cpu.immediate & 0xffn)),
  ins: string(RDI, (cpu, bytes, mask) => {
    const linear = destination(cpu, bytes, mask);
    // The device is read only if what it says can be stored.
    checkPermission(cpu, portOf(cpu), bytes);
    cpu.memory.checkWrite(linear, bytes, cpu.privilege);
    cpu.writeData(linear, bytes, readPort(cpu, portOf(cpu), bytes));
  }),
  outs: string(RSI, (cpu, bytes, mask) => {
    const linear = cpu.memoryLinear(cpu.state.general[RSI] & mask, bytes, false);
    checkPermission(cpu, portOf(cpu), bytes);
    cpu.breakpoints.portAccess(portOf(cpu), bytes);
    const value = cpu.readData(linear, bytes);
    if (!cpu.log.serve(portOf(cpu), bytes, true, true, value)) awaitDevice();
  }),
} satisfies Readonly<Record<string, Service>>;
