/** A processor that KVM stopped at an instruction, as what carries the instruction out sees it. */

import { bytesOf } from "../../../core/record.ts";
import { call, KVM_TRANSLATE } from "../ioctl.ts";
import { kvm_regs, kvm_sregs, kvm_translation } from "../structs.ts";

/** Pages in which linear and physical addresses run on together, bytes. */
const PAGE_BYTES = 4096n;
export const CR0_PE = 0x1n;
export const CR0_EM = 0x4n;
export const CR0_TS = 0x8n;
export const RFLAGS_NT = 0x4000n;
export const RFLAGS_VM = 0x2_0000n;
const EFER_LMA = 0x400n;

/** What a stopped processor is reached through. */
export interface StoppedCpuHost {
  /** Descriptor of the vCPU. */
  readonly fd: number;
  /** Up to `length` bytes of guest memory at a guest-physical address, copied. */
  readGuest(address: number, length: number): Uint8Array;
  /** Guest memory to be written, or undefined unless all of it can be. */
  guestView(address: number, length: number): Uint8Array | undefined;
}

/** Registers and memory; whoever made it loads and stores the registers. */
export class StoppedCpu {
  readonly regs = new kvm_regs(new ArrayBuffer(kvm_regs.byteLength));
  readonly sregs = new kvm_sregs(new ArrayBuffer(kvm_sregs.byteLength));
  readonly fd: number;
  readonly #host: StoppedCpuHost;
  readonly #translation = new kvm_translation(new ArrayBuffer(kvm_translation.byteLength));

  constructor(host: StoppedCpuHost) {
    this.fd = host.fd;
    this.#host = host;
  }

  /** 64 for 64-bit code, else 32 or 16: what addresses and operands have without a prefix. */
  get codeBits(): 16 | 32 | 64 {
    const { cs, efer } = this.sregs;
    if ((efer & EFER_LMA) !== 0n && cs.l !== 0) return 64;
    return cs.db !== 0 ? 32 : 16;
  }

  /** In protected or long mode, and privileged: not in real or virtual-8086 mode. */
  get isKernel(): boolean {
    return (this.sregs.cr0 & CR0_PE) !== 0n && (this.regs.rflags & RFLAGS_VM) === 0n &&
      this.sregs.ss.dpl === 0;
  }

  /** Is IA-32e mode on? */
  get longMode(): boolean {
    return (this.sregs.efer & EFER_LMA) !== 0n;
  }

  /** Linear address of offset `offset` in the code segment. */
  codeAddress(offset: bigint): bigint {
    return this.codeBits === 64
      ? BigInt.asUintN(64, offset)
      : (this.sregs.cs.base + offset) & 0xffff_ffffn;
  }

  /** `length` bytes at a linear address, copied; undefined unless all of it is memory. */
  read(linear: bigint, length: number): Uint8Array | undefined {
    const result = new Uint8Array(length);
    const whole = this.#pieces(linear, length, (physical, done, count) => {
      const piece = this.#host.readGuest(physical, count);
      result.set(piece, done);
      return piece.length === count;
    });
    return whole ? result : undefined;
  }

  /** Writes `bytes` at a linear address; false, with nothing written, unless all can be. */
  write(linear: bigint, bytes: Uint8Array): boolean {
    const views: Uint8Array[] = [];
    const whole = this.#pieces(linear, bytes.length, (physical, _done, count) => {
      const view = this.#host.guestView(physical, count);
      if (view !== undefined) views.push(view);
      return view !== undefined;
    });
    if (!whole) return false;
    let done = 0;
    for (const view of views) {
      view.set(bytes.subarray(done, done + view.length));
      done += view.length;
    }
    return true;
  }

  #pieces(
    linear: bigint,
    length: number,
    piece: (physical: number, done: number, count: number) => boolean,
  ): boolean {
    for (let done = 0; done < length;) {
      const at = linear + BigInt(done);
      const count = Math.min(length - done, Number(PAGE_BYTES - (at % PAGE_BYTES)));
      const translation = this.#translation;
      translation.linear_address = at;
      call(this.fd, KVM_TRANSLATE, bytesOf(translation));
      if (translation.valid === 0) return false;
      if (!piece(Number(translation.physical_address), done, count)) return false;
      done += count;
    }
    return true;
  }
}
