/** The registers of a stopped virtual processor, for firmware services, dumps and debugging. */

import { hex } from "../../../core/hex.ts";
import { bytesOf } from "../../../core/state/record.ts";
import type { RegisterFile, Segment } from "../../accelerator.ts";
import type { RegisterSync } from "./register_sync.ts";
import { kvm_regs, type kvm_segment, kvm_sregs } from "../api/structs.ts";

/** Word (32-bit) indices of the low halves in kvm_regs. */
const WORD = {
  rax: 0,
  rbx: 2,
  rcx: 4,
  rdx: 6,
  rsi: 8,
  rdi: 10,
  rsp: 12,
  rbp: 14,
  rip: 32,
  rflags: 34,
} as const;

const CR0_PE = 1n;
const RFLAGS_VM = 1 << 17;

type SegmentView = InstanceType<typeof kvm_segment>;

/** A processor as its registers need it. */
export interface RegisterOwner {
  readonly sync: RegisterSync;
  /** Completes a port or MMIO write that the processor is in the middle of; whether there was one. */
  settleWrite(): boolean;
}

/**
 * A `RegisterFile` over KVM's structures. Special registers are fetched only when one is named, and
 * only what was changed is put back.
 */
export class KvmRegisters implements RegisterFile {
  readonly #owner: RegisterOwner;
  readonly #regs = new kvm_regs(new ArrayBuffer(kvm_regs.byteLength));
  readonly #regsBytes = bytesOf(this.#regs);
  readonly #words = new Uint32Array(this.#regsBytes.buffer);
  readonly #sregs = new kvm_sregs(new ArrayBuffer(kvm_sregs.byteLength));
  readonly #sregsBytes = bytesOf(this.#sregs);
  #dirty = false;
  #specialLoaded = false;
  #specialDirty = false;
  readonly cs: Segment;
  readonly ds: Segment;
  readonly es: Segment;
  readonly ss: Segment;

  constructor(owner: RegisterOwner) {
    this.#owner = owner;
    this.cs = this.#segment("cs");
    this.ds = this.#segment("ds");
    this.es = this.#segment("es");
    this.ss = this.#segment("ss");
  }

  /** Fetches the registers; changes that were not stored are lost. */
  load(): void {
    this.#owner.sync.load(this.#regsBytes);
    this.#dirty = false;
    this.#specialLoaded = false;
    this.#specialDirty = false;
  }

  /** Puts what was changed since `load` back. */
  store(): void {
    if (this.#dirty) this.#owner.sync.store(this.#regsBytes);
    if (this.#specialDirty) this.#owner.sync.storeSpecial(this.#sregsBytes);
    this.#dirty = false;
    this.#specialDirty = false;
  }

  get eax(): number {
    return this.#words[WORD.rax];
  }
  set eax(value: number) {
    this.#set(WORD.rax, value);
  }
  get ebx(): number {
    return this.#words[WORD.rbx];
  }
  set ebx(value: number) {
    this.#set(WORD.rbx, value);
  }
  get ecx(): number {
    return this.#words[WORD.rcx];
  }
  set ecx(value: number) {
    this.#set(WORD.rcx, value);
  }
  get edx(): number {
    return this.#words[WORD.rdx];
  }
  set edx(value: number) {
    this.#set(WORD.rdx, value);
  }
  get esi(): number {
    return this.#words[WORD.rsi];
  }
  set esi(value: number) {
    this.#set(WORD.rsi, value);
  }
  get edi(): number {
    return this.#words[WORD.rdi];
  }
  set edi(value: number) {
    this.#set(WORD.rdi, value);
  }
  get ebp(): number {
    return this.#words[WORD.rbp];
  }
  set ebp(value: number) {
    this.#set(WORD.rbp, value);
  }
  get esp(): number {
    return this.#words[WORD.rsp];
  }
  set esp(value: number) {
    this.#set(WORD.rsp, value);
  }
  get ip(): number {
    this.#settle();
    return this.#words[WORD.rip] + this.#words[WORD.rip + 1] * 0x1_0000_0000;
  }
  set ip(value: number) {
    this.#settle();
    this.#set(WORD.rip, value);
    this.#words[WORD.rip + 1] = Math.floor(value / 0x1_0000_0000);
  }
  get eflags(): number {
    return this.#words[WORD.rflags];
  }
  set eflags(value: number) {
    this.#set(WORD.rflags, value);
  }

  /** Base of the interrupt descriptor table, or of the real-mode vector table. */
  get idtBase(): number {
    return Number(this.#special().idt.base);
  }

  get cr0(): number {
    return Number(this.#special().cr0);
  }

  get cr3(): number {
    return Number(this.#special().cr3 & 0xffff_ffffn);
  }

  get cr4(): number {
    return Number(this.#special().cr4 & 0xffff_ffffn);
  }

  toString(): string {
    this.#settle();
    const r = this.#regs;
    const s = this.#special();
    const general = (["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] as const)
      .map((name) => `${name}=${hex(r[name], 16)}`);
    const extended = (["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const)
      .map((name) => `${name.padEnd(3)}=${hex(r[name], 16)}`);
    const segments = (["cs", "ss", "ds", "es", "fs", "gs", "ldt", "tr"] as const).map((name) => {
      const seg: SegmentView = s[name];
      return `${name.padEnd(3)}=${hex(seg.selector, 4)} base=${hex(seg.base, 16)} ` +
        `limit=${hex(seg.limit, 8)} type=${hex(seg.type, 1)} p=${seg.present} dpl=${seg.dpl} ` +
        `db=${seg.db} l=${seg.l} s=${seg.s} g=${seg.g}`;
    });
    return [
      general.slice(0, 4).join(" "),
      general.slice(4).join(" "),
      extended.slice(0, 4).join(" "),
      extended.slice(4).join(" "),
      `rip=${hex(r.rip, 16)} rflags=${hex(r.rflags, 8)}`,
      ...segments,
      `gdt=${hex(s.gdt.base, 16)}/${hex(s.gdt.limit, 4)} ` +
      `idt=${hex(s.idt.base, 16)}/${hex(s.idt.limit, 4)}`,
      `cr0=${hex(s.cr0, 8)} cr2=${hex(s.cr2, 16)} cr3=${hex(s.cr3, 16)} cr4=${hex(s.cr4, 8)} ` +
      `efer=${hex(s.efer, 4)}`,
    ].join("\n");
  }

  /**
   * KVM leaves RIP before or after an OUT depending on how it ran the instruction: it is completed
   * when RIP counts, so that it is the one after it. Few services look.
   */
  #settle(): void {
    if (!this.#owner.settleWrite()) return;
    const { sync } = this.#owner;
    const changed = this.#dirty ? this.#regsBytes.slice() : undefined;
    sync.load(this.#regsBytes);
    if (changed === undefined) return;
    // What was changed meanwhile stays; RIP is the processor's.
    const low = this.#words[WORD.rip];
    const high = this.#words[WORD.rip + 1];
    this.#regsBytes.set(changed);
    this.#words[WORD.rip] = low;
    this.#words[WORD.rip + 1] = high;
  }

  #set(word: number, value: number): void {
    this.#words[word] = value;
    this.#words[word + 1] = 0;
    this.#dirty = true;
  }

  #special(): InstanceType<typeof kvm_sregs> {
    if (!this.#specialLoaded) {
      this.#owner.sync.loadSpecial(this.#sregsBytes);
      this.#specialLoaded = true;
    }
    return this.#sregs;
  }

  #segment(name: "cs" | "ds" | "es" | "ss"): Segment {
    const special = () => this.#special();
    const changed = (segment: SegmentView) => {
      this.#specialDirty = true;
      // Real and virtual-8086 mode: the base follows the selector (SDM volume 3, 21.1.1).
      if ((special().cr0 & CR0_PE) === 0n || (this.eflags & RFLAGS_VM) !== 0) {
        segment.base = BigInt(segment.selector * 16);
      }
    };
    return {
      get selector(): number {
        return special()[name].selector;
      },
      set selector(value: number) {
        const segment = special()[name];
        segment.selector = value;
        changed(segment);
      },
      get base(): number {
        return Number(special()[name].base);
      },
    };
  }
}
