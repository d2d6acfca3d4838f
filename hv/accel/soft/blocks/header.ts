/** The header of a block of decoded operations (blocks.ts) in memory 0; the operations follow it. */

/** Places in it. */
export const HEADER = {
  /** Page whose blocks may be linked with this one; `NO_PAGE` for what lies in two. */
  linkPage: 0,
  /** Offset in the page, and `MODE_CODE` of the mode key above bit 16. */
  where: 4,
  /** Next block of the same hash, and of the same page. */
  nextHash: 8,
  nextPage: 12,
  /** Length of the code in this page, bytes. */
  bytes: 16,
  /** Number of operations; 0 in the second header of a block across two pages. */
  operations: 20,
  /** Executions until it is hot. */
  count: 24,
  /** What the first operation's handler is when it neither counts executions nor is translated. */
  firstHandler: 28,
  /** Page of the machine's memory in which the code lies. */
  page: 32,
  /** Page in which it goes on, or `NO_PAGE`. */
  second: 36,
  /** Of a block across two pages: its second header; in that: the block. */
  other: 40,
} as const;
export const BLOCK_HEADER_BYTES = 48;
/** What `linkPage` and `second` say where there is none. */
export const NO_PAGE = -1;
