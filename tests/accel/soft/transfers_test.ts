/** Transfers between privilege levels, tasks and modes (Intel SDM volume 3, chapters 5, 6, 7 and 20). */

import assert from "node:assert/strict";
import { Exit } from "../../../hv/accel/accelerator.ts";
import { CpuState } from "../../../hv/accel/cpu_state.ts";
import { softVm } from "./support/soft_vm.ts";

const GDT = 0x3000;
const IDT = 0x4000;
const TSS = 0x5000;
const OTHER_TSS = 0x5100;
const KERNEL = 0x1000;
const HANDLER = 0x2000;
const USER = 0x6000;
const KERNEL_STACK = 0x8000;
const USER_STACK = 0x9000;

/** Selectors. */
const CODE_0 = 0x08;
const DATA_0 = 0x10;
const CODE_3 = 0x18 | 3;
const DATA_3 = 0x20 | 3;
const TSS_A = 0x28;
const TSS_B = 0x30;
const GATE = 0x38;

const flat = (access: number): bigint => 0x00cf_0000_0000_ffffn | BigInt(access) << 40n;
const tss = (base: number, type = 0x89): bigint =>
  BigInt(base) << 16n | BigInt(type) << 40n | 0x67n;
const gate = (selector: number, offset: number, access: number): bigint =>
  BigInt(offset & 0xffff) | BigInt(selector) << 16n | BigInt(access) << 40n |
  BigInt(offset >>> 16) << 48n;

/** 32-bit protected mode, level 0, at `KERNEL`, with a stack, two tasks and gates. */
function machine(code: { [address: number]: readonly number[] }, cpl: 0 | 3 = 0) {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  for (const [address, part] of Object.entries(code)) bytes.set(part, Number(address));
  const descriptors = [
    0n,
    flat(0x9b),
    flat(0x93),
    flat(0xfb),
    flat(0xf3),
    tss(TSS, 0x8b),
    tss(OTHER_TSS),
    gate(CODE_0, HANDLER, 0xec) | 1n << 32n, // call gate, DPL 3, one parameter
  ];
  descriptors.forEach((one, i) => view.setBigUint64(GDT + i * 8, one, true));
  view.setUint32(TSS + 4, KERNEL_STACK, true);
  view.setUint32(TSS + 8, DATA_0, true);
  view.setUint16(TSS + 102, 0xffff, true);
  const vm = softVm({ memory, cpus: 1 });
  vm.mapMemory({ slot: 0, guestAddress: 0, length: 1 << 20, memoryOffset: 0 });
  const vcpu = vm.openVcpu(0);
  const state = new CpuState(new ArrayBuffer(CpuState.byteLength));
  vcpu.save(state);
  for (const name of ["cs", "ds", "es", "ss", "fs", "gs"] as const) {
    const isCode = name === "cs";
    state[name].selector = cpl === 0 ? (isCode ? CODE_0 : DATA_0) : isCode ? CODE_3 : DATA_3;
    state[name].base = 0n;
    state[name].limit = 0xffff_ffff;
    state[name].access = (isCode ? 0xc09b : 0xc093) | cpl << 5;
  }
  state.cr0 = 0x11n;
  state.gdtr.base = BigInt(GDT);
  state.gdtr.limit = descriptors.length * 8 - 1;
  state.idtr.base = BigInt(IDT);
  state.idtr.limit = 0x7ff;
  state.tr.base = BigInt(TSS);
  state.tr.limit = 0x67;
  state.tr.selector = TSS_A;
  state.tr.access = 0x8b;
  state.rip = BigInt(cpl === 0 ? KERNEL : USER);
  state.general[4] = BigInt(cpl === 0 ? KERNEL_STACK : USER_STACK);
  state.rflags = 2n;
  return { vcpu, view, state };
}

const OUT = [0xe6, 0x80];

Deno.test("a call gate changes stacks, copies parameters, and RETF takes them away (5.8.5)", () => {
  const { vcpu, view, state } = machine({
    // push 1234h; call GATE:0; in al, 80h gives #GP at level 3
    [USER]: [0x68, 0x34, 0x12, 0, 0, 0x9a, 0, 0, 0, 0, GATE, 0, 0xeb, 0xfe],
    // mov eax, [esp + 8]; out 80h, al; retf 4
    [HANDLER]: [0x8b, 0x44, 0x24, 8, ...OUT, 0xca, 4, 0],
  }, 3);
  vcpu.restore(state);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.registers.eax, 0x1234);
  assert.equal(vcpu.registers.esp, KERNEL_STACK - 20);
  // From above: SS, ESP, the parameter, CS, EIP.
  const frame = [4, 8, 12, 16, 20].map((down) => view.getUint32(KERNEL_STACK - down, true));
  assert.deepEqual(frame, [DATA_3, USER_STACK - 4, 0x1234, CODE_3, USER + 12]);
  assert.equal(vcpu.step(), undefined);
  vcpu.save(state);
  assert.equal(state.cs.selector, CODE_3);
  assert.equal(state.ss.selector, DATA_3);
  assert.equal(state.general[4], BigInt(USER_STACK));
  assert.equal(state.ds.selector, DATA_3);
});

Deno.test("INT through a gate of lower DPL is #GP with the vector; IRET returns outwards (6.12)", () => {
  const { vcpu, view, state } = machine({
    [USER]: [0xcd, 0x30, 0xcd, 0x31], // int 30h; int 31h
    [HANDLER]: [...OUT, 0xcf],
    [HANDLER + 0x100]: [0x58, ...OUT], // pop eax: the error code
  }, 3);
  view.setBigUint64(IDT + 0x30 * 8, gate(CODE_0, HANDLER, 0xee), true);
  view.setBigUint64(IDT + 0x31 * 8, gate(CODE_0, HANDLER, 0x8e), true);
  view.setBigUint64(IDT + 13 * 8, gate(CODE_0, HANDLER + 0x100, 0x8e), true);
  vcpu.restore(state);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.registers.cs.selector, CODE_0);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.registers.eax, 0x31 * 8 + 2);
  assert.equal(view.getUint32(KERNEL_STACK - 20, true), USER + 2, "EIP is the instruction's");
});

Deno.test("CALL to a TSS saves the old task, links the new one to it, and IRET goes back (7.3)", () => {
  const { vcpu, view, state } = machine({
    // mov eax, 11h; call TSS_B:0; out 80h, al
    [KERNEL]: [0xb8, 0x11, 0, 0, 0, 0x9a, 0, 0, 0, 0, TSS_B, 0, ...OUT],
    [HANDLER]: [...OUT, 0xcf],
  });
  const put = (offset: number, value: number) => view.setUint32(OTHER_TSS + offset, value, true);
  put(32, HANDLER);
  put(36, 2);
  put(40, 0x22); // EAX
  put(56, 0xa000); // ESP
  put(72, DATA_0); // ES
  put(76, CODE_0);
  put(80, DATA_0);
  put(84, DATA_0);
  vcpu.restore(state);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.registers.eax, 0x22);
  assert.ok((vcpu.registers.eflags & 0x4000) !== 0, "NT");
  assert.equal(view.getUint16(OTHER_TSS, true), TSS_A);
  assert.equal(view.getUint32(TSS + 32, true), KERNEL + 12);
  assert.equal(view.getUint32(TSS + 40, true), 0x11);
  assert.equal(view.getUint8(GDT + TSS_A + 5), 0x8b, "the old task stays busy");
  assert.equal(view.getUint8(GDT + TSS_B + 5), 0x8b);
  assert.ok((vcpu.registers.cr0 & 8) !== 0, "CR0.TS");
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  assert.equal(vcpu.registers.eax, 0x11);
  assert.equal(view.getUint8(GDT + TSS_B + 5), 0x89, "the task that ended is available");
  vcpu.save(state);
  assert.equal(state.tr.selector, TSS_A);
});

Deno.test("IRET enters virtual-8086 mode, an interrupt leaves it with all segments saved (20.3)", () => {
  const { vcpu, view, state } = machine({
    // iret with a frame of nine words; at 1000:0010h: int 30h
    [KERNEL]: [0xcf],
    [0x1_0010]: [0xcd, 0x30],
    [HANDLER]: [...OUT],
  });
  view.setBigUint64(IDT + 0x30 * 8, gate(CODE_0, HANDLER, 0xee), true);
  const frame = [0x10, 0x1000, 0x2_3002, 0x100, 0x2000, 0x21, 0x22, 0x23, 0x24];
  frame.forEach((word, i) => view.setUint32(0x7000 + i * 4, word, true));
  state.general[4] = 0x7000n;
  vcpu.restore(state);
  assert.equal(vcpu.step(), undefined);
  vcpu.save(state);
  assert.equal(state.rflags & 0x2_0000n, 0x2_0000n);
  assert.deepEqual([state.cs.base, state.rip, state.ss.base, state.general[4]], [
    0x1_0000n,
    0x10n,
    0x2_0000n,
    0x100n,
  ]);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  const saved = Array.from(
    { length: 9 },
    (_, i) => view.getUint32(KERNEL_STACK - 36 + i * 4, true),
  );
  assert.deepEqual(saved, [0x12, 0x1000, 0x2_3002, 0x100, 0x2000, 0x21, 0x22, 0x23, 0x24]);
  vcpu.save(state);
  assert.deepEqual([state.ds.selector, state.es.selector], [0, 0]);
  assert.equal(state.rflags & 0x2_0000n, 0n);
});

Deno.test("loading a segment: privilege, presence and type are checked with the selector (volume 2, MOV)", () => {
  const faults: [number, number, number][] = [
    // selector, vector, error code
    [CODE_3, -1, 0], // readable code is data as well
    [DATA_0, 13, DATA_0], // more privileged
    [0x50, 13, 0x50], // beyond the table
    [TSS_A, 13, TSS_A], // a system segment
    [0, -1, 0], // null: only its use faults
  ];
  for (const [selector, vector, errorCode] of faults) {
    const { vcpu, view, state } = machine({
      [USER]: [0xb8, selector, 0, 0, 0, 0x8e, 0xd8, 0xcd, 0x30], // mov eax, ..; mov ds, ax; int 30h
      [HANDLER]: [...OUT],
      [HANDLER + 0x100]: [0x58, ...OUT],
    }, 3);
    view.setBigUint64(IDT + 0x30 * 8, gate(CODE_0, HANDLER, 0xee), true);
    view.setBigUint64(IDT + 13 * 8, gate(CODE_0, HANDLER + 0x100, 0x8e), true);
    vcpu.restore(state);
    assert.equal(vcpu.run(), Exit.port, vcpu.failure());
    const faulted = vcpu.registers.ip >= HANDLER + 0x100;
    assert.equal(faulted, vector === 13, `selector ${selector.toString(16)}`);
    if (faulted) assert.equal(vcpu.registers.eax, errorCode);
  }
});

Deno.test("SYSCALL and SYSRET change level and flags as STAR, LSTAR and FMASK say", () => {
  const { vcpu, view, state } = machine({
    [USER]: [0x0f, 0x05, 0x0f, 0x0b],
    [HANDLER]: [...OUT, 0x48, 0x0f, 0x07], // out 80h, al; sysretq
  }, 3);
  state.cs.access = 0xa0fb;
  state.efer = 0xd01n;
  state.cr4 = 0x20n;
  state.cr0 = 0x8000_0011n;
  state.rflags = 0x203n;
  // An identity map of the first 2 MiB: everybody may do everything.
  view.setBigUint64(0xc000, 0xd007n, true);
  view.setBigUint64(0xd000, 0xe007n, true);
  view.setBigUint64(0xe000, 0x87n, true);
  state.cr3 = 0xc000n;
  const msrs: [number, bigint][] = [
    [0xc000_0081, BigInt(CODE_0) << 32n | 0x10n << 48n],
    [0xc000_0082, BigInt(HANDLER)],
    [0xc000_0084, 0x200n],
  ];
  state.msrCount = msrs.length;
  msrs.forEach(([index, value], i) => {
    state.msrIndices[i] = index;
    state.msrValues[i] = value;
  });
  vcpu.restore(state);
  assert.equal(vcpu.run(), Exit.port, vcpu.failure());
  vcpu.save(state);
  assert.deepEqual([state.cs.selector, state.ss.selector], [CODE_0, DATA_0]);
  assert.deepEqual([state.general[1], state.general[11]], [BigInt(USER + 2), 0x203n]);
  assert.equal(state.rflags, 3n);
  assert.equal(vcpu.step(), undefined);
  vcpu.save(state);
  assert.deepEqual([state.cs.selector, state.ss.selector, state.rip, state.rflags], [
    0x23,
    0x1b,
    BigInt(USER + 2),
    0x203n,
  ]);
});
