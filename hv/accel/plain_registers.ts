/** Registers of no processor: for what the firmware does without one, and for tests. */

import type { RegisterFile, Segment } from "./accelerator.ts";

/** A segment register in real mode. */
export class RealSegment implements Segment {
  #selector = 0;

  get selector(): number {
    return this.#selector;
  }

  set selector(selector: number) {
    this.#selector = selector & 0xffff;
  }

  get base(): number {
    return this.#selector * 16;
  }
}

/** Real mode after RESET, but for CS:IP, which is 0:0. */
export class PlainRegisters implements RegisterFile {
  eax = 0;
  ebx = 0;
  ecx = 0;
  edx = 0;
  esi = 0;
  edi = 0;
  ebp = 0;
  esp = 0;
  ip = 0;
  eflags = 2;
  readonly cs: Segment = new RealSegment();
  readonly ds: Segment = new RealSegment();
  readonly es: Segment = new RealSegment();
  readonly ss: Segment = new RealSegment();
  cr0 = 0x10;
  cr3 = 0;
  cr4 = 0;
  load(): void {}
  store(): void {}
}
