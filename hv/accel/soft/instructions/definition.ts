/** How an instruction's meaning is given: a name, the sizes and forms it exists in, and a body. */

import type { Handler, Size } from "../codegen/handler.ts";

/** One instruction in all its sizes and forms. */
export interface Definition {
  /** As the opcode tables name it. */
  readonly name: string;
  readonly sizes: readonly Size[];
  /** Each one letter an operand: r register, m memory, i immediate. */
  readonly forms: readonly string[];
  /** Its meaning. */
  readonly body: (h: Handler) => void;
  /** The body leaves the block by itself; else the next operation follows. */
  readonly leaves?: boolean;
}

export const ALL_SIZES: readonly Size[] = [8, 16, 32, 64];
export const WORD_SIZES: readonly Size[] = [16, 32, 64];
/** Destination and source of the two-operand instructions. */
export const TWO_OPERANDS: readonly string[] = ["rr", "rm", "mr", "ri", "mi"];
export const ONE_OPERAND: readonly string[] = ["r", "m"];

/** The key under which the decoder looks a handler up. */
export const handlerKey = (name: string, size: number, form: string): string =>
  `${name}.${size}.${form}`;

const LOCK = "lock_";
/** The name of an instruction with LOCK, and of XCHG with memory, which has it always. */
export const lockedName = (name: string): string => `${LOCK}${name}`;
/** Is it such a name? */
export const isLockedName = (name: string): boolean => name.startsWith(LOCK);

/** A definition; the sizes default to all four. */
export function define(
  name: string,
  forms: readonly string[],
  body: (h: Handler) => void,
  sizes: readonly Size[] = ALL_SIZES,
): Definition {
  return { name, forms, body, sizes };
}

/** A definition that leaves the block. */
export function defineJump(
  name: string,
  forms: readonly string[],
  body: (h: Handler) => void,
  sizes: readonly Size[] = WORD_SIZES,
): Definition {
  return { name, forms, body, sizes, leaves: true };
}
