/** The registers of a stopped processor, for firmware services, dumps and debugging. */

import { GENERAL_REGISTERS } from "../../cpu_state.ts";
import type { RegisterFile, Segment } from "../../accelerator.ts";
import type { Cpu } from "../cpu.ts";
import { loadRealSegment } from "./segments.ts";
import { AT, Seg } from "./state.ts";

const SEGMENT_NAMES = ["es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr"] as const;
const hex = (value: number | bigint, digits: number) => value.toString(16).padStart(digits, "0");

/** A `RegisterFile` over the processor's own memory: there is nothing to fetch or to put back. */
export class SoftRegisters implements RegisterFile {
  readonly cs: Segment;
  readonly ds: Segment;
  readonly es: Segment;
  readonly ss: Segment;
  readonly #cpu: Cpu;
  readonly #settle: () => void;

  /** @param settle Completes a port or MMIO write that the processor is in the middle of. */
  constructor(cpu: Cpu, settle: () => void) {
    this.#cpu = cpu;
    this.#settle = settle;
    this.cs = this.#segment(Seg.cs);
    this.ds = this.#segment(Seg.ds);
    this.es = this.#segment(Seg.es);
    this.ss = this.#segment(Seg.ss);
  }

  load(): void {
    this.#settle();
  }

  store(): void {}

  get eax(): number {
    return this.#get(0);
  }
  set eax(value: number) {
    this.#set(0, value);
  }
  get ecx(): number {
    return this.#get(1);
  }
  set ecx(value: number) {
    this.#set(1, value);
  }
  get edx(): number {
    return this.#get(2);
  }
  set edx(value: number) {
    this.#set(2, value);
  }
  get ebx(): number {
    return this.#get(3);
  }
  set ebx(value: number) {
    this.#set(3, value);
  }
  get esp(): number {
    return this.#get(4);
  }
  set esp(value: number) {
    this.#set(4, value);
  }
  get ebp(): number {
    return this.#get(5);
  }
  set ebp(value: number) {
    this.#set(5, value);
  }
  get esi(): number {
    return this.#get(6);
  }
  set esi(value: number) {
    this.#set(6, value);
  }
  get edi(): number {
    return this.#get(7);
  }
  set edi(value: number) {
    this.#set(7, value);
  }
  get ip(): number {
    return Number(this.#cpu.state.rip);
  }
  set ip(value: number) {
    this.#cpu.state.rip = BigInt(value);
  }
  get eflags(): number {
    return this.#cpu.flags >>> 0;
  }
  set eflags(value: number) {
    this.#cpu.flags = value;
  }
  get cr0(): number {
    return this.#cpu.state.cr0;
  }

  toString(): string {
    const { state } = this.#cpu;
    const general = GENERAL_REGISTERS.map((name, i) =>
      `${name.padEnd(3)}=${hex(state.general[i], 16)}`
    );
    const segments = SEGMENT_NAMES.map((name, n) => {
      const { selector, base, limit, access } = state.segments[n];
      return `${name.padEnd(3)}=${hex(selector, 4)} base=${hex(base, 16)} ` +
        `limit=${hex(limit, 8)} access=${hex(access, 5)}`;
    });
    const rows = [0, 4, 8, 12].map((i) => general.slice(i, i + 4).join(" "));
    return [
      ...rows,
      `rip=${hex(state.rip, 16)} rflags=${hex(this.eflags, 8)} cpl=${state.cpl}`,
      ...segments,
      `gdt=${hex(state.gdtrBase, 16)}/${hex(state.gdtrLimit, 4)} ` +
      `idt=${hex(state.idtrBase, 16)}/${hex(state.idtrLimit, 4)}`,
      `cr0=${hex(state.cr0, 8)} cr2=${hex(state.cr2, 16)} cr3=${hex(state.cr3, 16)} ` +
      `cr4=${hex(state.cr4, 8)} efer=${hex(state.efer, 4)}`,
    ].join("\n");
  }

  #get(n: number): number {
    return this.#cpu.words[(AT.general >> 2) + n * 2] >>> 0;
  }

  #set(n: number, value: number): void {
    this.#cpu.words[(AT.general >> 2) + n * 2] = value;
    this.#cpu.words[(AT.general >> 2) + n * 2 + 1] = 0;
  }

  #segment(n: number): Segment {
    const cpu = this.#cpu;
    return {
      get selector(): number {
        return cpu.segment(n).selector;
      },
      set selector(value: number) {
        if (!cpu.isProtected || cpu.isVirtual8086) {
          loadRealSegment(cpu, n, value);
          cpu.blocks.flushJumps();
        } else cpu.segment(n).selector = value;
      },
      get base(): number {
        return Number(cpu.segment(n).base);
      },
    };
  }
}
