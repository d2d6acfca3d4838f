/**
 * A decoded operation as it lies in memory 0, 32 bytes, and what generated functions return.
 *
 * | offset | field   |                                                                       |
 * | ------ | ------- | --------------------------------------------------------------------- |
 * | 0      | handler | place in the table of functions                                       |
 * | 4, 6   | start, end | offsets of the instruction and the next one from the block's start |
 * | 8, 10  | a, b    | offsets in memory 0 of the first and second register operand          |
 * | 12, 14 | base, index | offsets of the registers of the memory operand                    |
 * | 16     | scale   | bits 0-1; bit 6: flat; bit 7: not 64-bit mode                         |
 * | 17     | kind    | how the memory operand's address is formed (`AddressKind`)            |
 * | 18     | segment | offset of the segment register's record                               |
 * | 20     | disp    | signed                                                                |
 * | 24     | imm     | 64 bits                                                               |
 *
 * Branches have no register operands: 8 and 12 hold the next operation when not taken and taken.
 */
export const OP = {
  handler: 0,
  start: 4,
  end: 6,
  a: 8,
  b: 10,
  base: 12,
  index: 14,
  scale: 16,
  kind: 17,
  segment: 18,
  displacement: 20,
  immediate: 24,
  linkNotTaken: 8,
  linkTaken: 12,
} as const;

export const OP_BYTES = 32;
/** In the scale byte: the instruction does not run in 64-bit mode. Shift counts do not see it. */
export const NOT_LONG = 0x80;
/** There, too: 32-bit code with flat segments, see `isFlat` in state/flat_segments.ts. */
export const FLAT = 0x40;

/** How a memory operand's linear address comes from base, index and displacement. */
export const AddressKind = {
  /** 64 bits, no segment base. */
  plain: 0,
  /** 64 bits plus the base of FS or GS. */
  based: 1,
  /** 64-bit mode with 32-bit addresses. */
  based32: 2,
  /** 32 bits, within the segment's bounds. */
  segment32: 3,
  /** 16 bits, within the segment's bounds. */
  segment16: 4,
  /** 32 bits in a segment that begins at 0 and has no bounds. */
  flat32: 5,
} as const;

/** What a generated function, or a service that it calls, returns. */
export const Status = {
  /** Go on with the next operation; only from services. */
  next: 0,
  /** An exception: `exceptionVector` and what follows it say which. RIP is the operation's. */
  exception: 1,
  /** A port or MMIO access awaits its device; the operation begins again afterwards. */
  access: 2,
  /** Between two instructions, RIP is `rip`: look at `pending`. */
  pending: 3,
  /** The service has set RIP or the mode: enter again at `rip`. */
  enter: 4,
  /** HLT; RIP is `rip`. */
  halt: 5,
  /** Triple fault. */
  shutdown: 6,
  /** An instruction that this CPU does not have yet. */
  failed: 7,
  /** A port write awaits its device; the operation is complete, RIP is `rip`. */
  accessDone: 8,
  /** As pending, but RIP is the operation's: in the middle of a string instruction. */
  pendingHere: 9,
  /** As `enter`, after a software interrupt: no single-step trap follows. */
  interrupted: 10,
  /** The operation, of which nothing has been done, is to run alone: a breakpoint is near. */
  alone: 11,
  /** The write of an instruction with LOCK found other data than were read; to generated code only. */
  again: 12,
} as const;
/** One of `Status`. */
export type Status = typeof Status[keyof typeof Status];

/** Bits of the argument of the slow access: size in bytes in bits 0 to 7. */
export const SLOW_WRITE = 1 << 8;
/** A read whose page must be writable: a read-modify-write comes. */
export const SLOW_INTENT = 1 << 9;
/** An access to the stack by PUSH and the like: an address that is not canonical gives #SS. */
export const SLOW_STACK = 1 << 10;
/** The write of an instruction with LOCK: only if what lies there still is `slowExpected`. */
export const SLOW_LOCKED = 1 << 11;
