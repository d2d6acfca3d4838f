/**
 * The processor: its memory 0, what is built over it, and what changes in it with mode, privilege and
 * page tables. Services (services/) carry out what generated code does not: see operands.ts.
 */

import type { InterruptSource } from "../accelerator.ts";
import * as access from "../cpu_state.ts";
import { Blocks } from "./blocks/blocks.ts";
import { Breakpoints } from "./events/breakpoints.ts";
import { CodeFinder } from "./blocks/code_finder.ts";
import { Status } from "./codegen/operation.ts";
import { CR0_EM, CR0_PE, CR0_TS, CR4_OSFXSR } from "./state/control_bits.ts";
import { DeviceLog } from "./memory/device_log.ts";
import { GuestAccess, GuestAlone, GuestFault } from "./events/faults.ts";
import { IF, readFlags, RF, VM, writeFlags } from "./state/flags_word.ts";
import { FeatureWords } from "./model/cpuid.ts";
import { KvmClock } from "./model/kvm_clock.ts";
import { RamWords } from "./memory/ram_words.ts";
import { CALL_HAS_MEMORY } from "./instructions/service_names.ts";
import { type Float80, openFloat80 } from "./float/module.ts";
import { LinearMemory } from "./memory/memory.ts";
import { EFER_LMA, Paging } from "./memory/paging.ts";
import { Operands, type ServiceCall } from "./operands.ts";
import { PAGE_BYTES, type PhysicalMap } from "./memory/physical_map.ts";
import { SharedCode } from "./blocks/shared_code.ts";
import { isFlat } from "./state/flat_segments.ts";
import { AT, CodeSize, MODE_FLAT, MODE_USER, Pending, Seg, SoftState } from "./state/state.ts";
import type { SegmentCache } from "./state/state.ts";
import { HOST_TIME, type TimeSource } from "./model/time_stamp.ts";
import { NO_TRANSLATION, type TranslationPolicy, Translator } from "./translator/translator.ts";
import { World } from "./world.ts";
import { X87 } from "./state/x87_state.ts";

const WASM_PAGE = 65536;
const FOUR_GIB = 0x1_0000_0000n;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** Carries out an instruction. */
export type Service = (cpu: Cpu, call: ServiceCall) => Status;

/** A part of the XSAVE area beyond x87 and SSE. */
export interface StateComponent {
  /** Its bit in XCR0. */
  readonly bit: number;
  /** Place in the standard form, and length, bytes. */
  readonly offset: number;
  readonly bytes: number;
  /** In the compacted form it begins at a multiple of 64. */
  readonly aligned: boolean;
}

/** What the processor needs from its machine. */
export interface CpuContext {
  readonly index: number;
  /** Memory 0. */
  readonly state: WebAssembly.Memory;
  /** Memory 0 of every processor. */
  readonly peers: readonly WebAssembly.Memory[];
  /** See world.ts. */
  readonly world: SharedArrayBuffer;
  /** The machine's memory. */
  readonly memory: WebAssembly.Memory;
  readonly map: PhysicalMap;
  readonly interpreter: WebAssembly.Module;
  /** The module of float/module.ts. */
  readonly float80: WebAssembly.Module;
  /** Default: nothing is translated. */
  readonly translation?: TranslationPolicy;
  readonly features: ReadonlySet<string>;
  /** What the time-stamp counter is made of; default: the host's time. */
  readonly time?: TimeSource;
  /** See `KvmClockParts.aheadNs`; default: KVM's clock is the machine's time. */
  readonly clockAheadNs?: Float64Array;
  /** Services by their number. */
  readonly services: readonly Service[];
  /** Of a processor whose instructions are executed here: see services/saved_state.ts. */
  readonly components?: readonly StateComponent[];
}

/** See above. */
export class Cpu extends Operands {
  readonly index: number;
  readonly state: SoftState;
  readonly time: TimeSource;
  /** Memory 0 as 32-bit words. */
  readonly words: Int32Array;
  readonly data: DataView;
  readonly memory: LinearMemory;
  readonly log: DeviceLog;
  readonly world: World;
  readonly blocks: Blocks;
  readonly breakpoints: Breakpoints;
  readonly sharedCode: SharedCode;
  readonly features: ReadonlySet<string>;
  readonly featureWords: FeatureWords;
  readonly kvmClock: KvmClock;
  readonly components: readonly StateComponent[];
  readonly x87: X87;
  readonly float80: Float80;
  /** The local APIC, where there is one. */
  interrupts: InterruptSource | undefined;
  /** Processors of the machine. */
  readonly cpus: number;
  /** Why `Status.failed`, where it is not an instruction that is missing. */
  trouble = "";
  /** Runs from `rip`. */
  readonly enter: () => Status;
  /** Runs `block` as the code at `rip`. */
  readonly start: (block: number) => Status;
  readonly #code: CodeFinder;
  /** Memory 0 of every processor, as words, and the boot processor's. */
  readonly #peers: readonly Int32Array[];
  readonly #boot: DataView;

  constructor(context: CpuContext) {
    super();
    const { state: memory0, memory, map, services, translation = NO_TRANSLATION } = context;
    this.index = context.index;
    this.cpus = context.peers.length;
    this.#boot = new DataView(context.peers[0].buffer);
    this.features = context.features;
    this.featureWords = new FeatureWords(context.features);
    this.components = context.components ?? [];
    this.time = context.time ?? HOST_TIME;
    this.state = new SoftState(memory0.buffer);
    this.words = new Int32Array(memory0.buffer);
    this.data = new DataView(memory0.buffer);
    this.log = new DeviceLog(this.state);
    this.x87 = new X87(this.state, this.data);
    this.float80 = openFloat80(context.float80);
    const guest = new Uint8Array(memory.buffer);
    const paging = new Paging(this.state, this.words, map, new Int32Array(memory.buffer));
    this.breakpoints = new Breakpoints(this.state, () => {
      this.memory.tlb.flush();
      this.blocks.flush();
    });
    const peers = this.#peers = context.peers.map((peer) => new Int32Array(peer.buffer));
    this.world = new World(context.world, this.index, (other) => {
      Atomics.or(peers[other], AT.pending >> 2, Pending.stop);
    });
    this.memory = new LinearMemory({
      state: this.state,
      words: this.words,
      paging,
      map,
      log: this.log,
      memory,
      breakpoints: this.breakpoints,
      world: this.world,
    });
    this.blocks = new Blocks({
      state: this.state,
      words: this.words,
      map,
      guest,
      features: context.features,
      onFirstCode: (page) => {
        this.memory.tlb.flushWrites();
        this.sharedCode.claim(page);
      },
      index: this.index,
      cpus: peers.length,
      hotAfter: translation.hotAfter,
    });
    this.sharedCode = new SharedCode(this.index, peers, map, this.world);
    this.memory.physical.watcher = {
      invalidate: (offset, bytes) => {
        this.sharedCode.tell(offset, bytes);
        const page = Math.floor(offset / PAGE_BYTES);
        if (map.ownsCode(page, this.index)) this.blocks.invalidate(offset, bytes);
      },
    };
    this.kvmClock = new KvmClock({
      state: this.state,
      time: this.time,
      aheadNs: context.clockAheadNs ?? new Float64Array(1),
      ram: new RamWords(
        new Int32Array(memory.buffer),
        map,
        (offset, bytes) => this.memory.physical.watcher.invalidate(offset, bytes),
      ),
      isStable: () => this.#countersAgree(),
    });
    this.#code = new CodeFinder({
      state: this.state,
      words: this.words,
      memory: this.memory,
      blocks: this.blocks,
      map,
      guest,
      breakpoints: this.breakpoints,
    });
    const host: Record<string, WebAssembly.ExportValue> = {
      ...this.float80 as unknown as WebAssembly.Exports,
      state: memory0,
      guest: memory,
      slow: (info: number) => this.memory.generated.slow(info),
      find: () => this.#find(),
      service: (call: number) => this.#service(services, call),
      hot: (block: number) => translator().hot(block),
    };
    const instance = new WebAssembly.Instance(context.interpreter, { host });
    const bytes = memory.buffer.byteLength;
    let made: Translator | undefined;
    const translator = () =>
      made ??= new Translator({
        words: this.words,
        host: { ...host, ...instance.exports },
        table: instance.exports.table as WebAssembly.Table,
        guestPages: bytes / WASM_PAGE,
        wide: bytes > Number(FOUR_GIB),
        policy: translation,
      });
    this.blocks.onForgotten = (block) => made?.forget(block);
    this.enter = instance.exports.enter as () => Status;
    this.start = instance.exports.start as (block: number) => Status;
  }

  /** What the boot processor's time-stamp counter was ahead of the machine's time at first. */
  get bootTscBase(): bigint {
    const { tscOffset, tscAdjust } = AT;
    return this.#boot.getBigUint64(tscOffset, true) - this.#boot.getBigUint64(tscAdjust, true);
  }

  /** The import `find`: the block at `rip`, or a status. */
  #find(): number {
    try {
      return this.#code.find();
    } catch (error) {
      return this.#caught(error);
    }
  }

  /** The bytes at `rip`, up to the longest instruction's, as far as they can be read. */
  codeBytes(): Uint8Array {
    return this.#code.bytes();
  }

  // --- services ---

  #service(services: readonly Service[], call: number): Status {
    try {
      return services[call & 0xff](this, {
        size: call >> 8 & 0xff,
        hasMemory: (call & CALL_HAS_MEMORY) !== 0,
      });
    } catch (error) {
      if (error instanceof GuestFault) return Status.exception;
      if (error instanceof GuestAccess) return Status.access;
      if (error instanceof GuestAlone) return Status.alone;
      throw error;
    }
  }

  #caught(error: unknown): Status {
    // The exception belongs to `rip`: no operation was begun.
    this.state.op = 0;
    if (error instanceof GuestFault) return Status.exception;
    throw error;
  }

  // --- flags and modes ---

  get flags(): number {
    return readFlags(this.words);
  }

  set flags(value: number) {
    const before = this.words[AT.eflags >> 2];
    writeFlags(this.words, value);
    this.flagsChanged(before);
  }

  /** After a change of IF or AC; `before` is EFLAGS until then. */
  flagsChanged(before: number): void {
    this.memory.tlb.selectTables();
    const after = this.words[AT.eflags >> 2];
    // An interrupt may have come while IF was clear.
    if ((after & ~before & IF) !== 0) this.request(Pending.interrupt);
  }

  get isProtected(): boolean {
    return (this.words[AT.cr0 >> 2] & CR0_PE) !== 0;
  }

  get isVirtual8086(): boolean {
    return (this.words[AT.eflags >> 2] & VM) !== 0;
  }

  /** Long mode, 64-bit or compatibility. */
  get isLongMode(): boolean {
    return (this.words[AT.efer >> 2] & EFER_LMA) !== 0;
  }

  /**
   * Works out again what depends on mode, privilege and the hidden parts of CS and SS. To be called
   * after any of these has changed.
   */
  modeChanged(): void {
    const { state } = this;
    const cs = state.segments[Seg.cs];
    const long = this.isLongMode && (cs.access & access.ACCESS_L) !== 0;
    if (!this.isProtected) {
      // Real-address mode writes through CS as well, whatever its type says.
      cs.writeLow = 0n;
      cs.writeHigh = cs.readHigh = BigInt(cs.limit);
      cs.readLow = 0n;
    }
    const size = long
      ? CodeSize.bits64
      : (cs.access & access.ACCESS_DB) !== 0
      ? CodeSize.bits32
      : CodeSize.bits16;
    const unavailable = (state.cr0 & (CR0_EM | CR0_TS)) !== 0 || (state.cr4 & CR4_OSFXSR) === 0;
    state.vectorGate = unavailable ? 1 : 0;
    const flat = size === CodeSize.bits32 && isFlat(this.words, state.segments) ? MODE_FLAT : 0;
    const modeKey = size | flat | (state.cpl === 3 ? MODE_USER : 0);
    const ripLimit = long ? ALL_ONES : BigInt(cs.limit);
    // Entries of the jump cache say for which mode key they are, and were found within the limit.
    if (ripLimit !== state.ripLimit) this.blocks.flushJumps();
    state.link = 0;
    state.modeKey = modeKey;
    state.ripLimit = ripLimit;
    const bigStack = (state.segments[Seg.ss].access & access.ACCESS_DB) !== 0;
    state.stackMask = long ? ALL_ONES : bigStack ? FOUR_GIB - 1n : 0xffffn;
    this.memory.tlb.selectTables();
  }

  /** Forgets translations but for those of global pages: CR3 was loaded (SDM volume 3, 4.10.4.1). */
  flushContext(): void {
    this.memory.tlb.flushContext();
    this.blocks.jumps.flushContext();
    this.state.link = 0;
  }

  /** Forgets the translation of the page at a linear address. */
  flushPage(linear: bigint): void {
    if (this.memory.tlb.flushPage(linear)) this.blocks.jumps.forgetPage(linear);
    else this.blocks.jumps.flush();
    this.state.link = 0;
  }

  /** Forgets all translations. */
  flushTranslations(): void {
    this.memory.tlb.flush();
    this.blocks.flushJumps();
  }

  /** A segment register's hidden part. */
  segment(n: number): SegmentCache {
    return this.state.segments[n];
  }

  /** Asks for the processor's attention at the next branch. */
  request(bits: number): void {
    Atomics.or(this.words, AT.pending >> 2, bits);
  }

  /** Asks for the attention of every processor of the machine. */
  requestAll(bits: number): void {
    for (const words of this.#peers) {
      Atomics.or(words, AT.pending >> 2, bits);
      Atomics.notify(words, AT.pending >> 2);
    }
  }

  #countersAgree(): boolean {
    const at = AT.tscOffset >> 2;
    const [first] = this.#peers;
    return this.#peers.every((words) => words[at] === first[at] && words[at + 1] === first[at + 1]);
  }

  /** Takes such requests back. */
  unrequest(bits: number): void {
    Atomics.and(this.words, AT.pending >> 2, ~bits);
  }

  /**
   * Runs exactly one instruction from `rip`; `shadow` and RF are those before it and say whether an
   * execute breakpoint counts.
   */
  step(shadow: number): Status {
    this.request(Pending.step);
    this.breakpoints.alone = true;
    try {
      this.breakpoints.checkCode(shadow);
      // RF holds for one instruction (17.3.1.1); it may be the one that sets it anew.
      this.state.eflags &= ~RF;
      return this.start(this.#code.single());
    } catch (error) {
      return this.#caught(error);
    } finally {
      this.breakpoints.alone = false;
      this.unrequest(Pending.step);
    }
  }
}
