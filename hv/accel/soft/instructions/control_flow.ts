/**
 * Near jumps, calls and returns, loops, and the flag instructions that need no privilege (Intel SDM
 * volume 2: CALL, CLC..., JMP, Jcc, LOOP, RET). In relative branches the immediate is the target's
 * distance from the block's start.
 */

import * as flags from "../codegen/flags.ts";
import type { Handler } from "../codegen/handler.ts";
import { AddressKind, OP } from "../codegen/operation.ts";
import { AT } from "../state/state.ts";
import { fence } from "../wasm/atomics.ts";
import * as v from "../wasm/value.ts";
import { I32, I64, type Value } from "../wasm/value.ts";
import { define, defineJump, type Definition } from "./definition.ts";

const RCX = 1;

const relative = (h: Handler): Value =>
  v.add(h.field(I64, 64, AT.blockRip), h.opField(I64, 64, OP.immediate));

const fallThrough = (h: Handler): void => h.jumpLinked(h.nextRip(), OP.linkNotTaken);

/** A target that an operand gives, as a RIP. */
const absolute = (h: Handler, operand: number): Value => h.let(v.extendU(h.read(operand)));

const returnNear = (h: Handler, release: Value | number): void => {
  const target = h.let(v.extendU(h.top()));
  h.checkTarget(target);
  h.drop(release);
  h.jump(target);
};

const pushReturn = (h: Handler): void => {
  const back = h.nextRip();
  h.push(h.size === 64 ? back : h.cut(v.wrap(back)));
};

/** The count register by the address size: its value after `change`, which is written. */
function countDown(h: Handler): Value {
  const kind = h.let(h.opField(I32, 8, OP.kind));
  const is16 = h.let(v.eq(kind, v.i32(AddressKind.segment16)));
  const narrow = v.select(is16, v.i64(0xffff), v.i64(0xffff_ffff));
  const mask = h.let(v.select(v.leU(kind, v.i32(AddressKind.based)), v.i64(-1), narrow));
  const old = h.let(h.register(RCX, 64));
  const count = h.let(v.and(v.sub(old, v.i64(1)), mask));
  const kept = v.select(is16, v.i64(-0x1_0000), v.i64(0));
  h.setRegister(RCX, v.or(v.and(old, kept), count), 64);
  return v.ne(count, v.i64(0));
}

/** LOOP, LOOPE, LOOPNE. The target is checked before RCX changes only where it can be beyond CS. */
const loop = (name: string, also?: (h: Handler) => Value): Definition =>
  defineJump(name, ["i"], (h) => {
    h.checkRip(h.let(h.cutRip(relative(h))));
    const more = countDown(h);
    h.code.if(
      also === undefined ? more : v.and(more, also(h)),
      () => h.jumpLinked(relative(h), OP.linkTaken),
    );
    fallThrough(h);
  });

const conditional = flags.CONDITIONS.map((name, code) =>
  defineJump(`j${name}`, ["i"], (h) => {
    h.code.if(flags.condition(h, code), () => h.jumpLinked(relative(h), OP.linkTaken));
    fallThrough(h);
  })
);

const setDirection = (down: boolean) => (h: Handler) => {
  const others = v.and(h.field(I32, 32, AT.eflags), v.i32(~flags.DF));
  h.setField(32, AT.eflags, v.or(others, v.i32(down ? flags.DF : 0)));
};

/** See above. */
export const CONTROL_FLOW: readonly Definition[] = [
  ...conditional,
  defineJump("jmp", ["i"], (h) => h.jumpLinked(relative(h), OP.linkTaken)),
  defineJump("jmp", ["r", "m"], (h) => {
    const target = absolute(h, 0);
    h.checkTarget(target);
    h.jump(target);
  }),
  defineJump("call", ["i"], (h) => {
    const target = h.let(h.cutRip(relative(h)));
    h.checkRip(target, () => h.probePush());
    pushReturn(h);
    h.jumpLinked(target, OP.linkTaken);
  }),
  defineJump("call", ["r", "m"], (h) => {
    const target = absolute(h, 0);
    // A fault of the stack comes before that of the target.
    h.checkTarget(target, () => h.probePush());
    pushReturn(h);
    h.jump(target);
  }),
  defineJump("ret", [""], (h) => returnNear(h, h.size >> 3)),
  defineJump("ret", ["i"], (h) => {
    const release = v.and(h.opField(I64, 64, OP.immediate), v.i64(0xffff));
    returnNear(h, h.let(v.add(release, v.i64(h.size >> 3))));
  }),
  loop("loop"),
  loop("loope", (h) => flags.condition(h, 4)),
  loop("loopne", (h) => flags.condition(h, 5)),
  defineJump("jcxz", ["i"], (h) => {
    const kind = h.let(h.opField(I32, 8, OP.kind));
    const narrow = v.select(
      v.eq(kind, v.i32(AddressKind.segment16)),
      v.i64(0xffff),
      v.i64(0xffff_ffff),
    );
    const mask = v.select(v.leU(kind, v.i32(AddressKind.based)), v.i64(-1), narrow);
    h.code.if(
      v.eqz(v.and(h.register(RCX, 64), mask)),
      () => h.jumpLinked(relative(h), OP.linkTaken),
    );
    fallThrough(h);
  }),
  // Where a block ends without a branch: the record's `start` is the next instruction.
  defineJump("continue", [""], (h) => {
    const rip = v.add(h.field(I64, 64, AT.blockRip), h.opField(I64, 16, OP.start));
    h.jumpLinked(rip, OP.linkTaken);
  }, [64]),
  // Accesses are in order without it but for reads that pass writes (SDM volume 3, 8.2.2).
  define("mfence", ["r"], (h) => fence(h.code), [32]),
  define("clc", [""], (h) => flags.setCarry(h, v.i64(0)), [32]),
  define("stc", [""], (h) => flags.setCarry(h, v.i64(1)), [32]),
  define("cmc", [""], (h) => flags.setCarry(h, v.xor(flags.carry(h), v.i64(1))), [32]),
  define("cld", [""], setDirection(false), [32]),
  define("std", [""], setDirection(true), [32]),
];
