/**
 * The x87's and SSE's state as a whole: FXSAVE and FXRSTOR (Intel SDM volume 1, 10.5), XSAVE and its
 * kin (volume 1, chapter 13; volume 2: XGETBV, XRSTOR, XSAVE, XSAVEC, XSAVEOPT, XSETBV).
 *
 * This processor has two components, for which the compacted form is laid out like the standard one.
 * Where it executes single instructions of another processor (hv/accel/kvm/gaps) it moves that one's
 * further components as bytes (`Cpu.components`); all of them are 0 after initialization. XSAVEOPT and
 * XSAVEC leave out what is as after initialization; that nothing has changed since the last XRSTOR is
 * not noticed.
 */

import { Status } from "../codegen/operation.ts";
import { CR0_EM, CR0_TS, CR4_OSXSAVE } from "../state/control_bits.ts";
import { alignUp } from "../../../core/align.ts";
import type { Cpu, Service, StateComponent } from "../cpu.ts";
import { XCR0_BITS, XSAVE_BYTES } from "../model/cpuid.ts";
import { fault, Vector } from "../events/faults.ts";
import { MXCSR_AT } from "../state/state.ts";
import { rotateImage } from "../state/x87_state.ts";

/** Bits of MXCSR that exist; the images say the same. */
export const MXCSR_MASK = 0xffff;
const MXCSR_INITIAL = 0x1f80;

const RAX = 0;
const RCX = 1;
const RDX = 2;

/** Components: bits of XCR0, XSTATE_BV and XCOMP_BV. */
const X87 = 1 << 0;
const SSE = 1 << 1;
const COMPACTED = 1n << 63n;

/** Offsets in an image (SDM volume 1, tables 10-2 and 13-1). */
const At = { control: 0, mxcsr: 24, mxcsrMask: 28, registers: 32, xmm: 160, header: 512 } as const;
const IMAGE_BYTES = 512;
const HEADER_BYTES = 64;

/** XMM registers that the mode has, bytes. */
const xmmBytes = (cpu: Cpu): number => (cpu.isLong64 ? 16 : 8) * 16;

const protectionFault = (cpu: Cpu): never => fault(cpu.state, Vector.generalProtection, 0);

/** Checked address of the image; FXSAVE and FXRSTOR work without CR4.OSFXSR. */
function imageAddress(cpu: Cpu, isWrite: boolean): bigint {
  if ((cpu.state.cr0 & (CR0_EM | CR0_TS)) !== 0) fault(cpu.state, Vector.deviceNotAvailable);
  const linear = cpu.operandLinear(IMAGE_BYTES, isWrite);
  if ((linear & 15n) !== 0n) protectionFault(cpu);
  return linear;
}

/** Checked address of an XSAVE area. */
function areaAddress(cpu: Cpu, isWrite: boolean): bigint {
  const { state } = cpu;
  if ((state.cr4 & CR4_OSXSAVE) === 0) fault(state, Vector.undefinedOpcode);
  if ((state.cr0 & CR0_TS) !== 0) fault(state, Vector.deviceNotAvailable);
  const linear = cpu.operandLinear(XSAVE_BYTES, isWrite);
  if ((linear & 63n) !== 0n) protectionFault(cpu);
  return linear;
}

/** The legacy region as it is stored: registers in the order of the stack. */
function legacyImage(cpu: Cpu): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(IMAGE_BYTES);
  image.set(cpu.state.xsave.subarray(0, IMAGE_BYTES));
  rotateImage(image, cpu.x87.top);
  new DataView(image.buffer).setUint32(At.mxcsrMask, MXCSR_MASK, true);
  return image;
}

/** Takes the x87's part of a legacy region. */
function takeX87(cpu: Cpu, image: Uint8Array): void {
  const { xsave } = cpu.state;
  xsave.set(image.subarray(At.control, At.mxcsr), At.control);
  xsave.set(image.subarray(At.registers, At.xmm), At.registers);
  rotateImage(xsave, -cpu.x87.top);
  cpu.x87.updateSummary();
}

/** Takes the XMM registers of a legacy region. */
function takeXmm(cpu: Cpu, image: Uint8Array): void {
  const end = At.xmm + xmmBytes(cpu);
  cpu.state.xsave.set(image.subarray(At.xmm, end), At.xmm);
}

const mxcsrOf = (image: Uint8Array): number =>
  new DataView(image.buffer, image.byteOffset).getUint32(At.mxcsr, true);

function checkMxcsr(cpu: Cpu, image: Uint8Array): number {
  const value = mxcsrOf(image);
  if ((value & ~MXCSR_MASK) !== 0) protectionFault(cpu);
  return value;
}

const setMxcsr = (cpu: Cpu, value: number): void => cpu.data.setUint32(MXCSR_AT, value, true);

/** The state after initialization: FCW is 37Fh, everything else 0. */
const INITIAL = new Uint8Array(IMAGE_BYTES);
new DataView(INITIAL.buffer).setUint16(At.control, 0x37f, true);

/** XINUSE: which components are not as after initialization. MXCSR does not count. */
function componentsInUse(cpu: Cpu): number {
  const { xsave } = cpu.state;
  const differs = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (xsave[i] !== INITIAL[i]) return true;
    return false;
  };
  const x87 = differs(At.control, At.mxcsr) || differs(At.registers, At.xmm);
  let used = (x87 ? X87 : 0) | (differs(At.xmm, At.xmm + 256) ? SSE : 0);
  for (const { bit, offset, bytes } of cpu.components) {
    if (xsave.subarray(offset, offset + bytes).some((byte) => byte !== 0)) used |= bit;
  }
  return used;
}

/**
 * Places of the further components in an area: those of the standard form, or, of the compacted form,
 * those that follow from the components that it has (SDM volume 1, 13.4.3).
 */
function* furtherComponents(
  cpu: Cpu,
  compacted: number | undefined,
): Generator<StateComponent & { readonly at: number }> {
  let end = XSAVE_BYTES;
  for (const component of cpu.components) {
    if (compacted === undefined) yield { ...component, at: component.offset };
    else if ((compacted & component.bit) !== 0) {
      const at = component.aligned ? alignUp(end, 64) : end;
      end = at + component.bytes;
      yield { ...component, at };
    }
  }
}

/** Bytes of an area, with the components that `mask` names. */
function areaBytes(cpu: Cpu, mask: number, compacted: boolean): number {
  let end = XSAVE_BYTES;
  for (const { bit, at, bytes } of furtherComponents(cpu, compacted ? mask : undefined)) {
    if ((mask & bit) !== 0) end = Math.max(end, at + bytes);
  }
  return end;
}

const hasUnusualMxcsr = (cpu: Cpu): boolean => cpu.data.getUint32(MXCSR_AT, true) !== MXCSR_INITIAL;

/** RFBM: the components that EDX:EAX asks for and XCR0 has. */
const requested = (cpu: Cpu): number => Number(cpu.general(RAX, 32) & cpu.state.xcr0);

const store = (cpu: Cpu, linear: bigint, at: number, bytes: Uint8Array): void =>
  cpu.memory.writeBytes(BigInt.asUintN(64, linear + BigInt(at)), bytes, cpu.privilege);

const load = (cpu: Cpu, linear: bigint, at: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  cpu.memory.readBytes(BigInt.asUintN(64, linear + BigInt(at)), bytes, cpu.privilege);
  return bytes;
};

/** XSAVE and XSAVEOPT: 13.7 and 13.9; XSAVEC: 13.10. */
const save = (kind: "plain" | "optimized" | "compacted"): Service => (cpu) => {
  const linear = areaAddress(cpu, true);
  const mask = requested(cpu);
  const compacted = kind === "compacted";
  cpu.memory.checkWrite(linear, areaBytes(cpu, mask, compacted), cpu.privilege);
  let used = componentsInUse(cpu);
  if (compacted && hasUnusualMxcsr(cpu)) used |= SSE;
  const stored = kind === "plain" ? mask : mask & used;
  const image = legacyImage(cpu);
  // What the area has already is asked for before anything is stored.
  const old = compacted ? new Uint8Array(8) : load(cpu, linear, At.header, 8);
  if ((stored & X87) !== 0) {
    store(cpu, linear, At.control, image.subarray(At.control, At.mxcsr));
    store(cpu, linear, At.registers, image.subarray(At.registers, At.xmm));
  }
  // XSAVE and XSAVEOPT store MXCSR whether or not the registers are in use.
  if (((compacted ? stored : mask) & SSE) !== 0) {
    store(cpu, linear, At.mxcsr, image.subarray(At.mxcsr, At.registers));
  }
  if ((stored & SSE) !== 0) {
    store(cpu, linear, At.xmm, image.subarray(At.xmm, At.xmm + xmmBytes(cpu)));
  }
  for (const { bit, offset, bytes, at } of furtherComponents(cpu, compacted ? mask : undefined)) {
    if ((stored & bit) === 0) continue;
    store(cpu, linear, at, cpu.state.xsave.slice(offset, offset + bytes));
  }
  const header = new DataView(new ArrayBuffer(16));
  new Uint8Array(header.buffer).set(old);
  header.setUint32(0, header.getUint32(0, true) & ~mask | used & mask, true);
  if (compacted) header.setBigUint64(8, COMPACTED | BigInt(mask), true);
  store(cpu, linear, At.header, new Uint8Array(header.buffer, 0, compacted ? 16 : 8));
  return Status.next;
};

/** XRSTOR: SDM volume 1, 13.8. */
const restore: Service = (cpu) => {
  const linear = areaAddress(cpu, false);
  const header = load(cpu, linear, At.header, HEADER_BYTES);
  const words = new DataView(header.buffer);
  const present = words.getBigUint64(0, true);
  const layout = words.getBigUint64(8, true);
  const isCompacted = (layout & COMPACTED) !== 0n;
  const { xcr0 } = cpu.state;
  const allowed = isCompacted ? layout & ~COMPACTED : xcr0;
  // The standard form ignores what lies behind the first 24 bytes.
  const zeroFrom = isCompacted ? 16 : 8;
  const zeroTo = isCompacted ? HEADER_BYTES : 24;
  const isBad = (allowed & ~xcr0) !== 0n || (present & ~allowed) !== 0n ||
    header.subarray(zeroFrom, zeroTo).some((byte) => byte !== 0);
  if (isBad) protectionFault(cpu);

  const mask = requested(cpu);
  const loaded = Number(present) & mask;
  const loadsMxcsr = ((isCompacted ? loaded : mask) & SSE) !== 0;
  const needed = loaded !== 0 || loadsMxcsr;
  const image = needed ? load(cpu, linear, 0, IMAGE_BYTES) : INITIAL;
  const mxcsr = loadsMxcsr ? checkMxcsr(cpu, image) : MXCSR_INITIAL;
  const layoutBits = isCompacted ? Number(layout & 0x7fff_ffffn) : undefined;
  const further = [...furtherComponents(cpu, layoutBits)].map(({ bit, offset, bytes, at }) => ({
    bit,
    offset,
    image: (loaded & bit) !== 0 ? load(cpu, linear, at, bytes) : new Uint8Array(bytes),
  }));
  for (const { bit, offset, image } of further) {
    if ((mask & bit) !== 0) cpu.state.xsave.set(image, offset);
  }
  if ((mask & X87) !== 0) takeX87(cpu, (loaded & X87) !== 0 ? image : INITIAL);
  if ((mask & SSE) !== 0) {
    takeXmm(cpu, (loaded & SSE) !== 0 ? image : INITIAL);
    setMxcsr(cpu, mxcsr);
  }
  return Status.next;
};

/** See above. */
export const SAVED_STATE_SERVICES = {
  fxsave: (cpu) => {
    const linear = imageAddress(cpu, true);
    store(cpu, linear, 0, legacyImage(cpu).subarray(0, At.xmm + xmmBytes(cpu)));
    return Status.next;
  },
  fxrstor: (cpu) => {
    const image = load(cpu, imageAddress(cpu, false), 0, IMAGE_BYTES);
    const mxcsr = checkMxcsr(cpu, image);
    takeX87(cpu, image);
    takeXmm(cpu, image);
    setMxcsr(cpu, mxcsr);
    return Status.next;
  },
  xsave: save("plain"),
  xsaveopt: save("optimized"),
  xsavec: save("compacted"),
  xrstor: restore,
  xgetbv: (cpu) => {
    const { state } = cpu;
    if ((state.cr4 & CR4_OSXSAVE) === 0) fault(state, Vector.undefinedOpcode);
    const which = cpu.general(RCX, 32);
    if (which > 1n) protectionFault(cpu);
    const used = componentsInUse(cpu) | (hasUnusualMxcsr(cpu) ? SSE : 0);
    const value = which === 0n ? state.xcr0 : state.xcr0 & BigInt(used);
    cpu.setGeneral(RAX, 32, value & 0xffff_ffffn);
    cpu.setGeneral(RDX, 32, value >> 32n);
    return Status.next;
  },
  xsetbv: (cpu) => {
    const { state } = cpu;
    if ((state.cr4 & CR4_OSXSAVE) === 0) fault(state, Vector.undefinedOpcode);
    const value = cpu.general(RDX, 32) << 32n | cpu.general(RAX, 32);
    const known = cpu.components.reduce((bits, { bit }) => bits | bit, XCR0_BITS);
    const valid = (value & ~BigInt(known)) === 0n && (value & BigInt(X87)) !== 0n;
    if (state.cpl !== 0 || cpu.general(RCX, 32) !== 0n || !valid) protectionFault(cpu);
    state.xcr0 = value;
    return Status.next;
  },
} satisfies Readonly<Record<string, Service>>;
