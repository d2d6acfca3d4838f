/**
 * Instructions that are services in some cases and generated code in those that are frequent: PUSHF
 * outside of virtual-8086 mode, CLI and STI where the privilege level allows them, and CMPXCHG16B without LOCK
 * (Intel SDM volume 2).
 */

import * as flags from "../codegen/flags.ts";
import type { Handler } from "../codegen/handler.ts";
import { OP } from "../codegen/operation.ts";
import { IF, RF, VM } from "../state/flags_word.ts";
import { AT } from "../state/state.ts";
import * as v from "../wasm/value.ts";
import { I32, type Value } from "../wasm/value.ts";
import type { ServiceName } from "./service_names.ts";

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const IOPL_SHIFT = 12;
const HALF_BYTES = 8;
/** L0 to G3. */
const DR7_ENABLED = 0xff;

/** Bodies by the service's name; `service` leaves the instruction to it. */
export const MOSTLY_GENERATED: {
  readonly [K in ServiceName]?: (h: Handler, service: () => void) => void;
} = {
  pushf: (h, service) => {
    const others = h.let(h.field(I32, 32, AT.eflags));
    h.code.if(v.and(others, v.i32(VM)), service, () => {
      const image = h.let(v.and(v.or(others, flags.arithmeticFlags(h)), v.i32(~RF)));
      h.push(h.size === 64 ? h.let(v.extendU(image)) : image);
    });
  },
  cli: (h, service) => {
    const others = h.let(h.field(I32, 32, AT.eflags));
    h.code.if(mayChangeIf(h, others), () => {
      h.setField(32, AT.eflags, v.and(others, v.i32(~IF)));
    }, service);
  },
  // Interrupts are looked for at branches, so that the instruction behind it comes first by itself; the
  // immediate says whether it is in the same block.
  sti: (h, service) => {
    const others = h.let(h.field(I32, 32, AT.eflags));
    const isFollowed = v.ne(h.opField(I32, 32, OP.immediate), v.i32(0));
    const plain = v.and(isFollowed, v.eqz(h.field(I32, 8, AT.interruptHeld)));
    h.code.if(v.and(plain, mayChangeIf(h, others)), () => {
      h.setField(32, AT.eflags, v.or(others, v.i32(IF)));
    }, service);
  },
  cmpxchg16b: (h, service) => {
    if (h.size !== 64) return service();
    // A breakpoint on one half alone would begin it again after the other half was written.
    h.code.if(v.and(h.field(I32, 32, AT.dr7), v.i32(DR7_ENABLED)), service, () => exchange(h));
  },
};

/** May CLI and STI change IF, and not VIF or nothing? An i32. */
function mayChangeIf(h: Handler, flags: Value): Value {
  const level = v.and(v.shrU(flags, v.i32(IOPL_SHIFT)), v.i32(3));
  return v.and(v.geU(level, h.field(I32, 8, AT.cpl)), v.eqz(v.and(flags, v.i32(VM))));
}

function exchange(h: Handler): void {
  const linear = h.linear(2 * HALF_BYTES, true);
  // Both halves lie in one page then, so that the second is written if the first was.
  h.requireAligned(linear);
  const next = h.let(v.add(linear, v.i64(HALF_BYTES)));
  const low = h.loadMemory(linear, 64, true);
  const high = h.loadMemory(next, 64, true);
  const same = h.let(v.and(v.eq(low, h.register(RAX, 64)), v.eq(high, h.register(RDX, 64))));
  h.storeMemory(linear, h.let(v.select(same, h.register(RBX, 64), low)), 64);
  h.storeMemory(next, h.let(v.select(same, h.register(RCX, 64), high)), 64);
  h.code.if(v.eqz(same), () => {
    h.setRegister(RAX, low, 64);
    h.setRegister(RDX, high, 64);
  });
  flags.setZero(h, same);
}
