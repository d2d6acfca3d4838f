/**
 * A virtual processor on KVM.
 *
 * The path of a port access is: KVM_RUN returns, three loads from kvm_run, back to the caller; no
 * allocation and no bigint. The kick signal is unblocked only inside KVM_RUN (see hv/sys/thread.ts).
 */

import { Errno, errnoName } from "../../sys/errors.ts";
import { errno, libc } from "../../sys/libc.ts";
import { SharedMapping } from "../../sys/memory_map.ts";
import { consumeKicks, currentThreadId } from "../../sys/thread.ts";
import { type Access, Exit, type Vcpu } from "../accelerator.ts";
import type { CpuState } from "../cpu_state.ts";
import type { GapFiller, SoftCpuParts } from "./gaps/filler.ts";
import { loadGapFiller, openGapFiller } from "./gaps/mod.ts";
import { HighInterrupts } from "./high_interrupts.ts";
import { describeExit, describeRunError, type Position } from "./failure.ts";
import { call, KVM_RUN, KVM_TRANSLATE } from "./api/ioctl.ts";
import { KvmRegisters } from "./state/registers.ts";
import { RegisterSync } from "./state/register_sync.ts";
import { resetState } from "./state/reset.ts";
import * as run from "./api/run_page.ts";
import { RUN } from "./api/run_page.ts";
import { StateTransfer } from "./state/state_transfer.ts";
import { kvm_regs, kvm_translation } from "./api/structs.ts";
import { bytesOf } from "../../core/state/record.ts";

/** The access object that every exit reuses. */
class KvmAccess implements Access {
  address = 0;
  size = 0;
  count = 0;
  isWrite = false;
  data: DataView;
  dataOffset = 0;

  constructor(data: DataView) {
    this.data = data;
  }
}

/** What a vCPU needs of its machine. */
export interface VcpuContext {
  readonly systemFd: number;
  readonly fd: number;
  readonly runBytes: number;
  /** What KVM_CAP_SYNC_REGS answers. */
  readonly syncRegisters: number;
  /** One word a processor, see `kickTable`. */
  readonly kicks: Int32Array;
  /** Does KVM run privileged code in its instruction emulator here? */
  readonly emulates: boolean;
  /** For what KVM cannot emulate: see gaps/mod.ts. */
  readonly softCpu: SoftCpuParts;
  /** Up to `length` bytes of guest memory at a guest-physical address. */
  readGuest(address: number, length: number): Uint8Array;
  /** A view of guest memory, or undefined unless all of it is mapped in one writable slot. */
  guestView(address: number, length: number): Uint8Array | undefined;
}

/** How often a run is begun again when KVM asks for it, before that counts as a failure. */
const MAX_RESTARTS = 1000;

/** See `Vcpu`. Views of `access.data` must not be used after the vCPU is disposed of. */
export class KvmVcpu implements Vcpu {
  readonly index: number;
  readonly access: Access;
  readonly registers: KvmRegisters;
  readonly #context: VcpuContext;
  readonly #access: KvmAccess;
  readonly #mapping: SharedMapping;
  readonly #ioctl = libc.ioctl;
  readonly #sync: RegisterSync;
  #page: DataView;
  #bytes: Uint8Array;
  #fd: number;
  #armed = false;
  /** The last exit was a port or MMIO access, which the next KVM_RUN completes. */
  #unsettled = false;
  /** kvm_run holds an exit that `run` has not reported yet. */
  #held = false;
  #runErrno = 0;
  #transfer: StateTransfer | undefined;
  #highInterrupts: HighInterrupts | undefined;
  #filler: GapFiller | undefined;
  /** What completing an instruction of the filler has led to, if `run` has not reported it yet. */
  #heldFill: Exit | undefined;
  /** There was an exit since the last interruption: the guest does get on. */
  #getsOn = false;

  constructor(index: number, context: VcpuContext) {
    this.index = index;
    this.#context = context;
    this.#fd = context.fd;
    this.#mapping = new SharedMapping(context.fd, context.runBytes);
    this.#page = new DataView(this.#mapping.buffer);
    this.#bytes = new Uint8Array(this.#mapping.buffer);
    this.#access = new KvmAccess(this.#page);
    this.access = this.#access;
    this.#sync = new RegisterSync(() => this.#live(), this.#bytes, context.syncRegisters);
    this.registers = new KvmRegisters({ sync: this.#sync, settleWrite: () => this.#settleWrite() });
  }

  run(): Exit {
    if (!this.#armed) this.#arm();
    if (this.#held) {
      this.#held = false;
      return this.#decode();
    }
    if (this.#heldFill !== undefined || this.#filler?.isUnderWay === true) {
      return this.#resumeFill();
    }
    const result = this.#ioctl(this.#fd, KVM_RUN.request, null);
    if (result !== 0) return this.#runError(errno());
    this.#sync.ran();
    this.#getsOn = true;
    return this.#decode();
  }

  failure(): string {
    const at = this.#position();
    if (this.#runErrno !== 0) return describeRunError(errnoName(this.#runErrno), at);
    return describeExit(this.#page, at, this.#filler?.reason);
  }

  load(): Promise<void> {
    return loadGapFiller();
  }

  settle(): boolean {
    if (this.#held || this.#heldFill !== undefined) return false;
    if (this.#filler?.isUnderWay === true) {
      const exit = this.#filler.resume();
      if (exit !== Exit.interrupted) this.#heldFill = exit;
      return exit === Exit.interrupted;
    }
    this.#live();
    this.#bytes[RUN.immediate_exit] = 1;
    const result = this.#ioctl(this.#fd, KVM_RUN.request, null);
    this.#bytes[RUN.immediate_exit] = 0;
    this.#sync.ran();
    // Success is another access of the same instruction, which the next run reports.
    this.#held = result === 0;
    this.#unsettled = false;
    return !this.#held;
  }

  /**
   * See `Vcpu.save`. The last access may have been another thread's: it is settled in any case.
   *
   * @throws Error when the instruction needs a further access first
   */
  save(state: CpuState): void {
    if (!this.settle()) {
      throw new Error(
        `Cannot save processor ${this.index}: it awaits a device; settle it before it is stopped`,
      );
    }
    this.#sync.flush();
    this.#stateTransfer().save(state);
  }

  restore(state: CpuState): void {
    this.#forgetExit();
    this.#stateTransfer().restore(state);
  }

  reset(): void {
    this.#forgetExit();
    this.#stateTransfer().restore(resetState(this.index, this.#fd));
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    this.#fd = -1;
    this.#page = new DataView(new ArrayBuffer(this.#page.byteLength));
    this.#bytes = new Uint8Array(this.#page.buffer);
    this.#sync.end();
    this.#highInterrupts?.[Symbol.dispose]();
    this.#access.data = this.#page;
    this.#mapping[Symbol.dispose]();
  }

  #live(): number {
    if (this.#fd < 0) throw new Error(`Cannot use processor ${this.index} after its end`);
    return this.#fd;
  }

  #arm(): void {
    this.#live();
    currentThreadId();
    this.#armed = true;
    const { emulates, readGuest, guestView } = this.#context;
    if (!emulates) return;
    const guest = { fd: this.#fd, readGuest, guestView };
    this.#highInterrupts = new HighInterrupts({ ...guest, registers: this.registers });
  }

  #decode(): Exit {
    const page = this.#page;
    const access = this.#access;
    access.data = page;
    switch (page.getUint32(RUN.exit_reason, true)) {
      case run.KVM_EXIT_IO:
        access.address = page.getUint16(RUN.io_port, true);
        access.size = this.#bytes[RUN.io_size];
        access.count = page.getUint32(RUN.io_count, true);
        access.isWrite = this.#bytes[RUN.io_direction] === run.KVM_EXIT_IO_OUT;
        access.dataOffset = page.getUint32(RUN.io_data_offset, true);
        this.#unsettled = true;
        return Exit.port;
      case run.KVM_EXIT_MMIO:
        access.address = page.getUint32(RUN.mmio_phys_addr, true) +
          page.getUint32(RUN.mmio_phys_addr + 4, true) * 0x1_0000_0000;
        access.size = page.getUint32(RUN.mmio_len, true);
        access.count = 1;
        access.isWrite = this.#bytes[RUN.mmio_is_write] !== 0;
        access.dataOffset = RUN.mmio_data;
        this.#unsettled = true;
        return Exit.mmio;
      case run.KVM_EXIT_HLT:
        this.#unsettled = false;
        return Exit.halt;
      case run.KVM_EXIT_SHUTDOWN:
        this.#unsettled = false;
        return Exit.shutdown;
      case run.KVM_EXIT_INTR:
      case run.KVM_EXIT_IRQ_WINDOW_OPEN:
      case run.KVM_EXIT_SET_TPR:
        this.#unsettled = false;
        return Exit.interrupted;
      case run.KVM_EXIT_DEBUG:
        this.#unsettled = false;
        this.#highInterrupts?.atBreakpoint(this.#page.getUint32(RUN.debug_pc, true));
        return Exit.interrupted;
      default:
        this.#unsettled = false;
        this.#runErrno = 0;
        return this.#cannotEmulate ? this.#fillGap() : Exit.failed;
    }
  }

  /** Has KVM stopped at an instruction that it cannot emulate? */
  get #cannotEmulate(): boolean {
    return this.#page.getUint32(RUN.exit_reason, true) === run.KVM_EXIT_INTERNAL_ERROR &&
      this.#page.getUint32(RUN.internal_suberror, true) === run.KVM_INTERNAL_ERROR_EMULATION;
  }

  #fillGap(): Exit {
    const parts = this.#context.softCpu;
    this.#filler ??= openGapFiller({ fd: this.#live(), sync: this.#sync, parts });
    if (this.#filler === undefined) {
      // KVM is to try again; an older one must forget that the guest was to get an exception.
      const regs = new Uint8Array(kvm_regs.byteLength);
      this.#sync.load(regs);
      this.#sync.store(regs);
      return Exit.needsCode;
    }
    return this.#filled(this.#filler.fill());
  }

  #resumeFill(): Exit {
    const held = this.#heldFill;
    this.#heldFill = undefined;
    return this.#filled(held ?? this.#filler!.resume());
  }

  /** The filler's accesses to devices are reported as KVM's are. */
  #filled(exit: Exit): Exit {
    if (exit === Exit.port || exit === Exit.mmio) {
      const { address, size, count, isWrite, data, dataOffset } = this.#filler!.access;
      Object.assign(this.#access, { address, size, count, isWrite, data, dataOffset });
    }
    return exit;
  }

  #runError(number: number): Exit {
    // EAGAIN: a processor that waited for INIT or SIPI got it, and is to be entered again.
    for (let i = 0; number === Errno.EAGAIN && i < MAX_RESTARTS; i++) {
      const result = this.#ioctl(this.#live(), KVM_RUN.request, null);
      if (result === 0) {
        this.#sync.ran();
        return this.#decode();
      }
      number = errno();
    }
    this.#sync.ran();
    this.#unsettled = false;
    if (number === Errno.EINTR) {
      consumeKicks();
      Atomics.store(this.#context.kicks, this.index, 0);
      this.#highInterrupts?.interrupted(this.#getsOn);
      this.#getsOn = false;
      return Exit.interrupted;
    }
    this.#runErrno = number;
    return Exit.failed;
  }

  /** A read stays open: its data may not be there yet. */
  #settleWrite(): boolean {
    if (!this.#unsettled || this.#held || !this.#access.isWrite) return false;
    this.settle();
    return true;
  }

  /** Otherwise the next run would complete an instruction of the state that is replaced. */
  #forgetExit(): void {
    this.#held = false;
    this.#heldFill = undefined;
    this.#filler?.forget();
    for (let i = 0; i < MAX_RESTARTS && !this.settle(); i++) this.#held = false;
    this.#held = false;
    this.#sync.discard();
  }

  #stateTransfer(): StateTransfer {
    return this.#transfer ??= new StateTransfer(this.#context.systemFd, this.#live());
  }

  #position(): Position {
    const registers = this.registers;
    registers.load();
    const ip = registers.ip;
    const linear = registers.cs.base + ip;
    const address = `${registers.cs.selector.toString(16).padStart(4, "0")}:${ip.toString(16)}`;
    return { linear, address, bytes: this.#readLinear(linear, 15) };
  }

  #readLinear(linear: number, length: number): Uint8Array {
    const translation = new kvm_translation(new ArrayBuffer(kvm_translation.byteLength));
    translation.linear_address = BigInt(Math.trunc(linear));
    call(this.#live(), KVM_TRANSLATE, bytesOf(translation));
    if (translation.valid === 0) return new Uint8Array(0);
    const inPage = 4096 - linear % 4096;
    return this.#context.readGuest(
      Number(translation.physical_address),
      Math.min(length, inPage),
    );
  }
}
