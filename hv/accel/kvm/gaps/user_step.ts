/**
 * Runs one unprivileged instruction on the real processor: in 64-bit mode at privilege level 3, which
 * a KVM that emulates the rest runs natively. The virtual processor's own x87 and SSE registers are
 * what it works on; its other registers and segments are exchanged meanwhile.
 *
 * Page tables, code and data lie in memory of hv's own, in a slot of the guest's physical address
 * space that the board leaves free. A guest that scribbles there harms only itself: its instruction
 * fails, or works on the wrong data.
 */

import { bytesOf } from "../../../core/record.ts";
import { addressOf, Errno, errno, libc, PAGE_BYTES } from "../../../sys/mod.ts";
import {
  call,
  KVM_GET_REGS,
  KVM_RUN,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  KVM_SET_USER_MEMORY_REGION,
} from "../ioctl.ts";
import { KVM_EXIT_MMIO, RUN } from "../run_page.ts";
import { kvm_regs, type kvm_segment, kvm_sregs, kvm_userspace_memory_region } from "../structs.ts";
import type { StoppedCpu } from "./stopped_cpu.ts";

/** Between the local APICs and the firmware; see the memory map in ARCHITECTURE.md. */
export const SCRATCH_ADDRESS = 0xfef0_0000;
/** PML4, page-directory-pointer table, page directory, page table. */
const TABLE_PAGES = 4;
const WASM_PAGE_BYTES = 65536;
/** Linear addresses of the processors' pages begin here, within the first 2 MiB. */
const LINEAR_BASE = 0x10_0000;
const ENTRY_FLAGS = 0x67; // present, writable, user, accessed, dirty
/** Where in its page a processor has the operand. */
const DATA_OFFSET = 0x100;
export const MAX_OPERAND_BYTES = 128;
/** Where nothing is: a write ends the step. Its linear address is the last page's of the 2 MiB. */
const END_ADDRESS = SCRATCH_ADDRESS + 0xf_0000;
const END_LINEAR = 0x1f_f000;
/** MOV moffs8, AL with a 64-bit address. */
const WRITE_TO_END = [0xa2, 0x00, 0xf0, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x00];
/** Interrupted more often than this, the step does not end. */
const MAX_INTERRUPTIONS = 1000;

const CR0 = 0x8000_0033n; // PG, NE, ET, MP, PE
const CR4 = 0x620n; // OSXMMEXCPT, OSFXSR, PAE
const EFER = 0x500n; // LMA, LME
/** No interrupts. */
const RFLAGS = 0x2n;
/** CF, PF, AF, ZF, SF, OF: what an unprivileged instruction reads and writes. */
const STATUS_FLAGS = 0x8d5n;

/** Bytes that `makeScratch` needs for `cpus` processors. */
const scratchBytes = (cpus: number) => (TABLE_PAGES + cpus) * PAGE_BYTES;

/** Memory for the steps of `cpus` processors, with its page tables. */
export function makeScratch(cpus: number): WebAssembly.Memory {
  const pages = Math.ceil(scratchBytes(cpus) / WASM_PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const entries = new BigUint64Array(memory.buffer);
  const entryAt = (address: number) => BigInt(address + ENTRY_FLAGS);
  const entry = (page: number) => entryAt(SCRATCH_ADDRESS + page * PAGE_BYTES);
  const perTable = PAGE_BYTES / 8;
  for (let table = 0; table < TABLE_PAGES - 1; table++) {
    entries[table * perTable] = entry(table + 1);
  }
  const first = (TABLE_PAGES - 1) * perTable + LINEAR_BASE / PAGE_BYTES;
  for (let cpu = 0; cpu < cpus; cpu++) entries[first + cpu] = entry(TABLE_PAGES + cpu);
  entries[(TABLE_PAGES - 1) * perTable + END_LINEAR / PAGE_BYTES] = entryAt(END_ADDRESS);
  return memory;
}

/** Puts the memory into the guest's physical address space. */
export function mapScratch(vmFd: number, slot: number, memory: WebAssembly.Memory): void {
  const region = new kvm_userspace_memory_region(
    new ArrayBuffer(kvm_userspace_memory_region.byteLength),
  );
  region.slot = slot;
  region.guest_phys_addr = BigInt(SCRATCH_ADDRESS);
  region.memory_size = BigInt(memory.buffer.byteLength);
  region.userspace_addr = BigInt(addressOf(new Uint8Array(memory.buffer)));
  call(vmFd, KVM_SET_USER_MEMORY_REGION, bytesOf(region));
}

/** What a step needs of its processor. */
export interface UserStepHost {
  readonly index: number;
  /** struct kvm_run. */
  readonly page: DataView;
  readonly scratch: WebAssembly.Memory;
  /** Takes the signal that has interrupted KVM_RUN; whoever kicked is served after the step. */
  interrupted(): void;
}

/** See above. */
export class UserStep {
  readonly #host: UserStepHost;
  readonly #bytes: Uint8Array;
  readonly #linear: number;
  readonly #regs = new kvm_regs(new ArrayBuffer(kvm_regs.byteLength));
  readonly #sregs = new kvm_sregs(new ArrayBuffer(kvm_sregs.byteLength));

  constructor(host: UserStepHost) {
    this.#host = host;
    const offset = (TABLE_PAGES + host.index) * PAGE_BYTES;
    this.#bytes = new Uint8Array(host.scratch.buffer, offset, PAGE_BYTES);
    this.#linear = LINEAR_BASE + host.index * PAGE_BYTES;
  }

  /**
   * Runs `instruction`, whose memory operand, if any, is `[rdi]`; RAX and the status flags of `cpu`
   * go in and come out. Both register sets of the processor are then what `cpu` has.
   *
   * @param operand What `[rdi]` has; changed as the instruction changes it.
   * @returns False when the instruction did not come to its end; `cpu` is unchanged.
   */
  run(cpu: StoppedCpu, instruction: Uint8Array, operand: Uint8Array): boolean {
    this.#bytes.fill(0);
    this.#bytes.set(instruction);
    this.#bytes.set(WRITE_TO_END, instruction.length);
    this.#bytes.set(operand, DATA_OFFSET);
    this.#enterUserMode(cpu);
    const ended = this.#runToEnd(cpu.fd);
    if (ended) {
      this.#settle(cpu.fd);
      call(cpu.fd, KVM_GET_REGS, bytesOf(this.#regs));
      cpu.regs.rax = this.#regs.rax;
      cpu.regs.rflags = (cpu.regs.rflags & ~STATUS_FLAGS) | (this.#regs.rflags & STATUS_FLAGS);
      operand.set(this.#bytes.subarray(DATA_OFFSET, DATA_OFFSET + operand.length));
    }
    call(cpu.fd, KVM_SET_SREGS, bytesOf(cpu.sregs));
    call(cpu.fd, KVM_SET_REGS, bytesOf(cpu.regs));
    return ended;
  }

  #enterUserMode(cpu: StoppedCpu): void {
    const sregs = this.#sregs;
    bytesOf(sregs).set(bytesOf(cpu.sregs));
    setSegment(sregs.cs, { selector: 0x33, type: 0xb, dpl: 3, l: 1 });
    for (const name of ["ss", "ds", "es", "fs", "gs"] as const) {
      setSegment(sregs[name], { selector: 0x2b, type: 3, dpl: 3, l: 0 });
    }
    setSegment(sregs.tr, { selector: 0x40, type: 0xb, dpl: 0, l: 0 });
    sregs.tr.s = 0;
    sregs.tr.db = 0;
    sregs.tr.g = 0;
    sregs.tr.limit = 0x67;
    // Without descriptors an exception is a triple fault, and that ends the step.
    sregs.gdt.limit = 0;
    sregs.idt.limit = 0;
    sregs.cr0 = CR0;
    sregs.cr3 = BigInt(SCRATCH_ADDRESS);
    sregs.cr4 = CR4;
    sregs.efer = EFER;
    call(cpu.fd, KVM_SET_SREGS, bytesOf(sregs));
    const regs = this.#regs;
    bytesOf(regs).fill(0);
    regs.rax = cpu.regs.rax;
    regs.rdi = BigInt(this.#linear + DATA_OFFSET);
    regs.rip = BigInt(this.#linear);
    regs.rflags = RFLAGS | (cpu.regs.rflags & STATUS_FLAGS);
    call(cpu.fd, KVM_SET_REGS, bytesOf(regs));
  }

  #runToEnd(fd: number): boolean {
    const { page } = this.#host;
    for (let i = 0; i < MAX_INTERRUPTIONS; i++) {
      if (libc.ioctl(fd, KVM_RUN.request, null) === 0) {
        return page.getUint32(RUN.exit_reason, true) === KVM_EXIT_MMIO &&
          page.getUint32(RUN.mmio_phys_addr, true) === END_ADDRESS;
      }
      if (errno() !== Errno.EINTR) return false;
      this.#host.interrupted();
    }
    return false;
  }

  /** KVM completes the write, or the next instruction that runs would be taken for it. */
  #settle(fd: number): void {
    const { page } = this.#host;
    page.setUint8(RUN.immediate_exit, 1);
    libc.ioctl(fd, KVM_RUN.request, null);
    page.setUint8(RUN.immediate_exit, 0);
  }
}

type Segment = InstanceType<typeof kvm_segment>;

function setSegment(
  segment: Segment,
  { selector, type, dpl, l }: Pick<Segment, "selector" | "type" | "dpl" | "l">,
): void {
  segment.selector = selector;
  segment.type = type;
  segment.dpl = dpl;
  segment.l = l;
  segment.base = 0n;
  segment.limit = 0xffff_ffff;
  segment.present = 1;
  segment.s = 1;
  segment.db = 1 - l;
  segment.g = 1;
  segment.avl = 0;
  segment.unusable = 0;
}
