/**
 * A bench on which one device is tried: a clock that stands until it is moved, and everything else a
 * device is connected to, with all of its state in one arena, so that a second bench over a copy of
 * the bytes is the same bench.
 */

import { Arena } from "../../hv/core/state/arena.ts";
import { BlockOp, BlockPort, BlockPortState, BlockResult } from "../../hv/core/media/block.ts";
import type { Clock } from "../../hv/core/time/clock.ts";
import { GuestMemory } from "../../hv/core/memory/guest_memory.ts";
import type { IrqLine } from "../../hv/core/bus/irq.ts";
import type { Lock } from "../../hv/core/state/lock.ts";
import { bytes, record, type RecordType, ring, u32, u8 } from "../../hv/core/state/record.ts";
import type { ByteSink } from "../../hv/core/state/stream.ts";
import { type Timer, Timers } from "../../hv/core/time/timer.ts";

const ARENA_BYTES = 1 << 20;
const RAM_BYTES = 1 << 18;
const DEVICE_BYTES = 1 << 19;

/** A clock that a test moves by hand. */
export class FakeClock implements Clock {
  ns = 0;
  /** 2001-09-09 01:46:40 UTC at the start. */
  startMs = 1_000_000_000_000;
  nowNs(): number {
    return this.ns;
  }
  wallMs(): number {
    return this.startMs + this.ns / 1e6;
  }
}

/** What an interrupt line remembers. */
export const LineState = record("test.line", 1, { level: u8, raised: u32 });

/** An interrupt line that remembers. */
export class ProbeLine implements IrqLine {
  readonly #state: InstanceType<typeof LineState>;
  constructor(state: InstanceType<typeof LineState>) {
    this.#state = state;
  }
  set(level: boolean): void {
    if (level && !this.level) this.#state.raised++;
    this.#state.level = level ? 1 : 0;
  }
  get level(): boolean {
    return this.#state.level !== 0;
  }
  /** How often it went from low to high. */
  get raised(): number {
    return this.#state.raised;
  }
}

const SinkState = record("test.sink", 1, { open: u8, bytes: ring(4096) });

/** A byte sink that remembers, and refuses while `open` is false. */
export class ProbeSink implements ByteSink {
  readonly #state: InstanceType<typeof SinkState>;
  constructor(state: InstanceType<typeof SinkState>) {
    this.#state = state;
  }
  set open(open: boolean) {
    this.#state.open = open ? 0 : 1;
  }
  write(byte: number): boolean {
    if (this.#state.open !== 0) return false;
    if (!this.#state.bytes.push(byte)) {
      this.#state.bytes.shift();
      this.#state.bytes.push(byte);
    }
    return true;
  }
  /** What was written, removed, as Latin-1 text. */
  take(): string {
    let text = "";
    for (let byte = this.#state.bytes.shift(); byte >= 0; byte = this.#state.bytes.shift()) {
      text += String.fromCharCode(byte);
    }
    return text;
  }
}

/** See above. */
export class TestBench {
  readonly arena: Arena;
  readonly clock: FakeClock;
  readonly memory: GuestMemory;
  readonly timers: Timers;
  readonly #isCopy: boolean;
  readonly #disks: { port: BlockPort; lock: Lock; data: Uint8Array }[] = [];

  /**
   * @param original A bench whose bytes and clock this one starts with.
   * @param worn A bench that is not used any more, whose buffers this one takes over.
   */
  constructor(original?: TestBench, worn?: TestBench) {
    this.arena = new Arena(worn?.arena.buffer ?? new SharedArrayBuffer(ARENA_BYTES));
    this.clock = new FakeClock();
    this.memory = worn === undefined
      ? GuestMemory.allocate(RAM_BYTES, DEVICE_BYTES)
      : new GuestMemory(worn.memory.handle);
    this.#isCopy = original !== undefined;
    if (original !== undefined) this.copyFrom(original);
    this.timers = new Timers(this.arena, this.clock, () => {});
  }

  /** Takes over the bytes and the time of another bench. */
  copyFrom(original: TestBench): void {
    const used = original.arena.usedBytes;
    new Uint8Array(this.arena.buffer).set(new Uint8Array(original.arena.buffer, 0, used));
    new Uint8Array(this.memory.memory.buffer).set(new Uint8Array(original.memory.memory.buffer));
    this.clock.ns = original.clock.ns;
    this.clock.startMs = original.clock.startMs;
  }

  state<F extends Parameters<typeof record>[2]>(type: RecordType<F>, name = type.recordName) {
    return this.arena.allocate(type, name);
  }

  irq(name = "irq"): ProbeLine {
    return new ProbeLine(this.arena.allocate(LineState, `bench.${name}`));
  }

  sink(name = "sink"): ProbeSink {
    return new ProbeSink(this.arena.allocate(SinkState, `bench.${name}`));
  }

  /** A timer; fire it by moving the clock with `advance`. */
  timer(name = "timer", lock: Lock = this.arena.lock(name)): Timer {
    return this.timers.create(name, lock);
  }

  /** A disk of `sizeBytes` whose sector n begins as the bytes n, n, … ; settled by `settle`. */
  disk(name: string, sizeBytes: number, readOnly = false): BlockPort {
    const medium = this.arena.allocate(
      record("test.medium", 1, { data: bytes(sizeBytes) }),
      `bench.${name}.medium`,
    );
    const port = new BlockPort(this.arena.allocate(BlockPortState, `bench.${name}`), () => {});
    // A copy has its medium from the original, or has had it taken out there.
    if (!this.#isCopy) {
      for (let i = 0; i < sizeBytes; i++) medium.data[i] = i >> 9;
      port.setMedium({ sizeBytes, readOnly });
      port.state.changed = false;
    }
    this.#disks.push({ port, lock: this.arena.lock(`bench.${name}`), data: medium.data });
    return port;
  }

  /** Carries out every disk request that has been posted, and what follows from it. */
  settle(): void {
    for (let again = true; again;) {
      again = false;
      for (const { port, lock, data } of this.#disks) {
        if (!port.posted) continue;
        again = true;
        lock.with(() => port.finish(this.#transfer(port, data)));
      }
    }
  }

  #transfer({ state }: BlockPort, data: Uint8Array): BlockResult {
    const { op, offset, length } = state;
    if (!state.present) return BlockResult.noMedium;
    if (op === BlockOp.flush) return BlockResult.ok;
    if (!(offset >= 0 && offset + length <= data.length)) return BlockResult.outOfRange;
    const target = state.guestAddress < 0
      ? state.buffer.subarray(0, length)
      : this.memory.view(state.guestAddress, length);
    if (target === undefined || target.length !== length) return BlockResult.ioError;
    if (op === BlockOp.read) target.set(data.subarray(offset, offset + length));
    else if (state.readOnly) return BlockResult.readOnly;
    else data.set(target, offset);
    return BlockResult.ok;
  }

  /** Lets guest time pass, firing the timers on the way, each at its own time. */
  advance(ns: number): void {
    const end = this.clock.ns + ns;
    for (let step = 0; step < 100_000; step++) {
      const next = this.timers.run();
      if (next > end) break;
      this.clock.ns = Math.max(this.clock.ns, next);
    }
    this.clock.ns = end;
    this.timers.run();
  }
}
