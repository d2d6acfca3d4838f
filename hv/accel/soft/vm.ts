/** A virtual machine on the software CPU. */

import type { AcceleratedVm, MemorySlot, VmHandle } from "../accelerator.ts";
import { clockBlob, clockOf, KVM_CLOCK_BLOB } from "./model/kvm_clock.ts";
import { PAGE_BYTES, PhysicalMap, type PhysicalMapBuffers } from "./memory/physical_map.ts";
import { CodeWrites } from "./blocks/shared_code.ts";
import { SERVICES } from "./services/mod.ts";
import { AT, Pending, SoftState } from "./state/state.ts";
import { HOST_TIME, nsUntil, type TimeSource } from "./model/time_stamp.ts";
import type { TranslationPolicy } from "./translator/translator.ts";
import { SoftVcpu } from "./vcpu.ts";

/** `VmHandle.detail` of a machine on the software CPU; everything in it may be posted to a worker. */
export interface SoftDetail {
  readonly map: PhysicalMapBuffers;
  /** Memory 0 of each processor. */
  readonly states: readonly WebAssembly.Memory[];
  readonly world: SharedArrayBuffer;
  /** What CPUID announces. */
  readonly features: ReadonlySet<string>;
  /** See `KvmClockParts.aheadNs`. */
  readonly clockAheadNs: SharedArrayBuffer;
  readonly interpreter: WebAssembly.Module;
  readonly float80: WebAssembly.Module;
  readonly translation: TranslationPolicy;
}

/** See `AcceleratedVm`. */
export class SoftVm implements AcceleratedVm {
  readonly handle: VmHandle;
  readonly #detail: SoftDetail;
  readonly #map: PhysicalMap;
  readonly #states: SoftState[] = [];
  readonly #time: TimeSource;
  readonly #clockAheadNs: Float64Array;

  constructor(handle: VmHandle, time: TimeSource = HOST_TIME) {
    this.handle = handle;
    this.#time = time;
    this.#detail = handle.detail as SoftDetail;
    this.#clockAheadNs = new Float64Array(this.#detail.clockAheadNs);
    this.#map = new PhysicalMap(this.#detail.map, handle.memory.buffer.byteLength);
  }

  /**
   * See `AcceleratedVm.mapMemory`.
   *
   * @throws RangeError
   */
  mapMemory(slot: MemorySlot): void {
    this.#map.set(slot);
    this.#requestAll(Pending.remap);
  }

  /** @throws Error for a slot without log */
  takeDirtyPages(slot: number): Uint8Array {
    const pages = this.#map.takeDirtyPages(slot);
    // Pages that may be written without coming by here come by again.
    this.#requestAll(Pending.remap);
    return pages;
  }

  setIrq(_gsi: number, _level: boolean): void {}

  interrupt(index: number): void {
    this.#request(index, Pending.interrupt);
  }

  sendMsi(_address: number, _data: number): void {}

  /**
   * To be told of every write to the machine's memory that does not come from a processor (DMA, the
   * firmware, a loader): `length` bytes from `offset` in the memory, before or after the fact as long
   * as no processor runs what lies there in between. Costs next to nothing where there is no code.
   */
  hostWrote(offset: number, length: number): void {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const page = Math.floor(at / PAGE_BYTES);
      const next = Math.min(end, (page + 1) * PAGE_BYTES);
      if (this.#map.hasCode(page)) this.#tellOwners(page, at, next - at);
      at = next;
    }
  }

  openVcpu(index: number): SoftVcpu {
    const state = this.#detail.states[index];
    if (state === undefined) {
      throw new RangeError(`Cannot open processor ${index}: the machine has ${this.handle.cpus}`);
    }
    return new SoftVcpu({
      index,
      state,
      peers: this.#detail.states,
      world: this.#detail.world,
      time: this.#time,
      clockAheadNs: this.#clockAheadNs,
      memory: this.handle.memory,
      map: this.#map,
      interpreter: this.#detail.interpreter,
      float80: this.#detail.float80,
      translation: this.#detail.translation,
      features: this.#detail.features,
      services: SERVICES,
    });
  }

  /** There may be an interrupt for processor `index`: it asks its source. On any thread. */
  wake(index: number): void {
    this.#request(index, Pending.interrupt);
  }

  nsUntilTsc(index: number, value: bigint): number {
    const state = this.#states[index] ??= new SoftState(this.#detail.states[index].buffer);
    return nsUntil({ state, time: this.#time }, value);
  }

  kick(index: number, _threadId: number): void {
    this.#request(index, Pending.kick);
  }

  /** KVM's clock, in KVM's form: the other chips are the board's. */
  saveChips(): Map<string, Uint8Array> {
    const timeNs = this.#time.nowNs() + this.#clockAheadNs[0];
    return new Map([[KVM_CLOCK_BLOB, clockBlob(BigInt(Math.trunc(timeNs)))]]);
  }

  /** The reverse of `saveChips`; other chips are ignored. */
  restoreChips(chips: ReadonlyMap<string, Uint8Array>): void {
    const blob = chips.get(KVM_CLOCK_BLOB);
    if (blob === undefined) return;
    this.#clockAheadNs[0] = Number(clockOf(blob)) - this.#time.nowNs();
    this.#requestAll(Pending.clock);
  }

  resetChips(): void {}

  [Symbol.dispose](): void {}

  #tellOwners(page: number, offset: number, bytes: number): void {
    for (let index = 0; index < this.handle.cpus; index++) {
      if (!this.#map.ownsCode(page, index)) continue;
      new CodeWrites(new Int32Array(this.#detail.states[index].buffer)).post(offset, bytes);
    }
  }

  #requestAll(bits: number): void {
    for (let index = 0; index < this.handle.cpus; index++) this.#request(index, bits);
  }

  #request(index: number, bits: number): void {
    const words = new Int32Array(this.#detail.states[index].buffer);
    Atomics.or(words, AT.pending >> 2, bits);
    Atomics.notify(words, AT.pending >> 2);
  }
}
