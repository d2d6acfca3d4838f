/** Atomic accesses (WebAssembly core specification, threads: 0xFE). They trap unless aligned. */

import type { ByteWriter } from "./byte_writer.ts";
import type { Code, MemoryRef } from "./code.ts";
import { I32, I64, type Type, type Value } from "./value.ts";

const PREFIX = 0xfe;
const FENCE = 0x03;
const MULTI_MEMORY = 0x40;

/** rmw.cmpxchg by type and width in bits. */
const COMPARE_EXCHANGE = new Map<string, number>([
  [`${I32}.8`, 0x4a],
  [`${I32}.16`, 0x4b],
  [`${I32}.32`, 0x48],
  [`${I64}.64`, 0x49],
]);

/** Writes the alignment, which must be the natural one, memory and offset 0. */
function place(out: ByteWriter, memory: MemoryRef, bits: number): void {
  const alignment = Math.log2(bits / 8);
  if (memory.index === 0) out.byte(alignment);
  else {
    out.byte(MULTI_MEMORY | alignment);
    out.unsigned(memory.index);
  }
  out.unsigned(0);
}

/**
 * What was at `address` before; it is `value` now if that was `expected`, whose bits above `bits` must
 * be 0.
 */
export function compareExchange(
  memory: MemoryRef,
  type: Type,
  bits: number,
  address: Value,
  expected: Value,
  value: Value,
): Value {
  const opcode = COMPARE_EXCHANGE.get(`${type}.${bits}`);
  if (opcode === undefined) throw new TypeError(`Cannot exchange ${bits} bits as type ${type}`);
  return {
    type,
    emit: (out) => {
      for (const operand of [address, expected, value]) operand.emit(out);
      out.byte(PREFIX);
      out.unsigned(opcode);
      place(out, memory, bits);
    },
  };
}

/** No access passes it, in either direction. */
export function fence(code: Code): void {
  code.out.byte(PREFIX);
  code.out.unsigned(FENCE);
  code.out.byte(0);
}
