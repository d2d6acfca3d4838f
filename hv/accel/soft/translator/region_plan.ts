/**
 * Which blocks are translated together: those that are reached from a first one by direct branches,
 * all in one page, in an order in which most branches lead forward.
 */

import { BLOCK_HEADER_BYTES, HEADER } from "../blocks/header.ts";
import { OP, OP_BYTES } from "../codegen/operation.ts";
import { HANDLERS, type HandlerVariant, variantAt } from "../interpreter.ts";

/** More make functions that take long to compile. */
const MAX_BLOCKS = 24;
const MAX_OPERATIONS = 320;

/** A decoded operation. */
export interface PlannedOperation {
  /** Address of its record. */
  readonly address: number;
  /** What its handler is; undefined: a special one, which is left to the interpreter. */
  readonly variant: HandlerVariant | undefined;
}

/** A block of a region. */
export interface PlannedBlock {
  /** Its address in memory 0. */
  readonly address: number;
  /** Distance of its code from that of the region's first block, bytes. */
  readonly distance: number;
  readonly operations: readonly PlannedOperation[];
  /** Addresses of the blocks that its direct branches lead to, by the link's address. */
  readonly successors: ReadonlyMap<number, number>;
}

const STALE = HANDLERS.get("stale")!;

const LINKS = [OP.linkTaken, OP.linkNotTaken] as const;

/** The region that begins with the block at `first` in memory 0. */
export function planRegion(data: DataView, first: number): readonly PlannedBlock[] {
  const where = (block: number) => data.getUint16(block + HEADER.where, true);
  const start = where(first);
  const seen = new Set<number>();
  const ordered: PlannedBlock[] = [];
  let operations = 0;
  const visit = (address: number) => {
    if (seen.has(address) || seen.size >= MAX_BLOCKS || operations >= MAX_OPERATIONS) return;
    seen.add(address);
    const block = readBlock(data, address, where(address) - start);
    operations += block.operations.length;
    for (const successor of block.successors.values()) visit(successor);
    ordered.push(block);
  };
  visit(first);
  return ordered.toReversed();
}

function readBlock(data: DataView, address: number, distance: number): PlannedBlock {
  const count = data.getInt32(address + HEADER.operations, true);
  const operations: PlannedOperation[] = [];
  const successors = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const op = address + BLOCK_HEADER_BYTES + i * OP_BYTES;
    const handler = i === 0 ? address + HEADER.firstHandler : op + OP.handler;
    const variant = variantAt(data.getInt32(handler, true));
    operations.push({ address: op, variant });
    if (variant?.definition.leaves !== true) continue;
    const { name } = variant.definition;
    if (variant.form === "i" && name !== "ret" || name === "continue") {
      for (const link of LINKS) {
        const target = data.getInt32(op + link, true) - BLOCK_HEADER_BYTES;
        if (target < 0) continue;
        if (data.getInt32(target + HEADER.firstHandler, true) !== STALE) {
          successors.set(op + link, target);
        } else data.setInt32(op + link, 0, true);
      }
    }
    break;
  }
  return { address, distance, operations, successors };
}
