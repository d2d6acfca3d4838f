/**
 * The function of a region (translator.ts) while it is written: the guest's registers and lazy flags
 * are in variables, which are read from the state when it is entered and written back when it is left.
 *
 * It is left in three ways, each with one piece of code at its end: with a status, to an operation's
 * record, to `rip`.
 */

import type { Environment } from "../codegen/operand_handler.ts";
import { OP } from "../codegen/operation.ts";
import { AT } from "../state/state.ts";
import { Code, type Label, load, type Local } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { I32, I64, type Type, type Value } from "../wasm/value.ts";

const REGISTERS = 16;
/** What is kept in variables: 64-bit fields of the state. */
const KEPT: readonly number[] = [
  ...Array.from({ length: REGISTERS }, (_, n) => AT.general + n * 8),
  AT.lazyResult,
  AT.lazyAux,
];
const ALL_ONES = (1n << 64n) - 1n;
/** See `turns`: about a millisecond of a short loop in slow code, and nothing to a long one. */
const MAX_TURNS = 1 << 17;

/** Which of the kept fields a region uses, and which it changes: a bit each. */
export interface Masks {
  readonly used: number;
  readonly written: number;
}

/** See above. */
export class RegionCode {
  readonly code: Code = new Code([I32]);
  readonly env: Environment;
  /** RIP of the region's first block. */
  readonly rip: Local;
  /** Read table of the soft TLB. */
  readonly tlb: Local;
  /**
   * Branches backwards until the region is left for once. V8 replaces no function that runs: a loop would
   * stay in its first, slow code (Liftoff's) for ever, but is in TurboFan's when it is entered again.
   */
  readonly turns: Local;
  /** Not 0 once the region is to be left behind the operation: it has been forgotten. */
  readonly forgotten: Local;
  readonly #status: Local;
  readonly #next: Local;
  readonly #kept: readonly Local[];
  /** Has something been spilled in the middle, with the masks as they were known? */
  isSpilledEarly = false;
  #used: number;
  #written: number;
  #exits: { readonly status: Label; readonly operation: Label; readonly rip: Label } | undefined;

  /** @param masks What the region uses, as far as it is known. */
  constructor(env: Environment, masks: Masks) {
    this.env = env;
    this.#used = masks.used;
    this.#written = masks.written;
    this.rip = this.code.local(I64);
    this.tlb = this.code.local(I32);
    this.turns = this.code.local(I32);
    this.forgotten = this.code.local(I32);
    this.#status = this.code.local(I32);
    this.#next = this.code.local(I32);
    this.#kept = KEPT.map(() => this.code.local(I64));
  }

  /** What has been used so far. */
  get masks(): Masks {
    return { used: this.#used, written: this.#written };
  }

  // --- registers ---

  /** Number of the kept field in which byte `offset` of the state lies; -1: none. */
  static keptAt(offset: number): number {
    if (offset >= AT.general && offset < AT.general + REGISTERS * 8) {
      return offset - AT.general >> 3;
    }
    return KEPT.indexOf(offset, REGISTERS);
  }

  /** `bits` bits of a kept field, from byte `offset` of the state, as `type`. */
  read(offset: number, type: Type, bits: number): Value {
    const n = RegionCode.keptAt(offset);
    this.#used |= 1 << n;
    const whole = this.#kept[n];
    if (bits === 64) return whole;
    const shifted = v.shrU(whole, v.i64(8 * (offset & 7)));
    const mask = v.i32(bits === 32 ? -1 : (1 << bits) - 1);
    const value = v.and(v.wrap(shifted), mask);
    return type === I64 ? v.extendU(value) : value;
  }

  /** Changes `bits` bits of a kept field; see `read`. */
  write(offset: number, bits: number, value: Value): void {
    const n = RegionCode.keptAt(offset);
    this.#written |= 1 << n;
    const whole = this.#kept[n];
    if (bits === 64) return this.code.set(whole, value);
    this.#used |= 1 << n;
    const mask = (1n << BigInt(bits)) - 1n;
    const shift = BigInt(8 * (offset & 7));
    const kept = v.and(whole, v.i64(ALL_ONES ^ mask << shift));
    const part = v.shl(v.and(v.extendU(value), v.i64(mask)), v.i64(shift));
    this.code.set(whole, v.or(kept, part));
  }

  /** Writes what has been changed back to the state. */
  spill(): void {
    this.#each(this.#written, (local, offset) => {
      this.code.store(this.env.state, 64, v.i32(0), local, offset);
    });
  }

  /** Reads what is used from the state. */
  reload(): void {
    this.#each(this.#used | this.#written, (local, offset) => {
      this.code.set(local, load(this.env.state, I64, 64, v.i32(0), offset));
    });
    this.code.set(this.tlb, load(this.env.state, I32, 32, v.i32(0), AT.tlb));
  }

  #each(mask: number, use: (local: Local, offset: number) => void): void {
    KEPT.forEach((offset, n) => {
      if ((mask >> n & 1) !== 0) use(this.#kept[n], offset);
    });
  }

  // --- the ways out ---

  /** Writes the whole function around `body`. */
  frame(body: () => void): void {
    const { code, env } = this;
    code.repeat();
    code.block((rip) => {
      code.block((operation) => {
        code.block((status) => {
          this.#exits = { rip, operation, status };
          body();
          code.unreachable();
        });
        this.spill();
        code.return(this.#status);
      });
      this.spill();
      const handler = load(env.state, I32, 32, this.#next, OP.handler);
      code.tailCallIndirect(env.handlerType, handler, this.#next);
    });
    this.spill();
    code.tailCall(env.enter);
    code.prologue(() => {
      code.set(this.rip, load(env.state, I64, 64, v.i32(0), AT.blockRip));
      code.set(this.turns, v.i32(MAX_TURNS));
      this.reload();
    });
  }

  /** Leaves with `status`; the state says at which operation. */
  leaveWith(status: Value): void {
    this.code.set(this.#status, status);
    this.code.branch(this.#exits!.status);
  }

  /** Goes on with the operation whose record is at `op`, in the block of which `blockRip` is the RIP. */
  leaveTo(op: Value, blockRip: Value): void {
    this.code.store(this.env.state, 64, v.i32(0), blockRip, AT.blockRip);
    this.code.set(this.#next, op);
    this.code.branch(this.#exits!.operation);
  }

  /** Goes on at the state's `rip`. */
  leaveToRip(): void {
    this.code.branch(this.#exits!.rip);
  }
}
