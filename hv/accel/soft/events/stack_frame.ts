/** A stack that is written before it becomes the processor's: interrupt frames and call gates. */

import type { Cpu } from "../cpu.ts";
import { fault, Vector } from "./faults.ts";
import { Privilege } from "../memory/paging.ts";

/** Which stack. */
export interface NewStack {
  /** Base of the segment; 0 in 64-bit mode. */
  readonly base: bigint;
  /** First and last offset allowed. */
  readonly low: bigint;
  readonly high: bigint;
  /** What the pointer wraps at. */
  readonly mask: bigint;
  readonly pointer: bigint;
  /** Privilege level of whoever will own it. */
  readonly cpl: number;
  /** Error code of #SS where the frame does not fit. */
  readonly errorCode: number;
}

/** See above. */
export class StackFrame {
  readonly #cpu: Cpu;
  readonly #stack: NewStack;
  #pointer: bigint;

  constructor(cpu: Cpu, stack: NewStack) {
    this.#cpu = cpu;
    this.#stack = stack;
    this.#pointer = stack.pointer;
  }

  /** The stack pointer after what was pushed. */
  get pointer(): bigint {
    return this.#pointer;
  }

  /** Throws `GuestFault`. */
  push(value: bigint, bytes: number): void {
    const { base, low, high, mask, cpl, errorCode } = this.#stack;
    const offset = this.#pointer - BigInt(bytes) & mask;
    const long = mask > 0xffff_ffffn;
    if (!long && (offset < low || offset + BigInt(bytes - 1) > high)) {
      fault(this.#cpu.state, Vector.stackFault, errorCode);
    }
    const linear = long ? offset : offset + base & 0xffff_ffffn;
    const privilege = cpl === 3 ? Privilege.user : Privilege.supervisor;
    this.#cpu.memory.write(linear, bytes, value, privilege, true);
    this.#pointer = this.#stack.pointer & ~mask | offset;
  }
}
