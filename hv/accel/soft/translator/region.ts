/** Writes the function of a region: the control flow between its blocks, and in each what it does. */

import type { Environment } from "../codegen/operand_handler.ts";
import { OP } from "../codegen/operation.ts";
import { BLOCK_HEADER_BYTES } from "../blocks/header.ts";
import { AT } from "../state/state.ts";
import { type Code, type Label, load } from "../wasm/code.ts";
import * as v from "../wasm/value.ts";
import { I32, type Value } from "../wasm/value.ts";
import { KnownHandler } from "./known_handler.ts";
import { type Masks, RegionCode } from "./region_code.ts";
import type { PlannedBlock } from "./region_plan.ts";

/**
 * The function of the region `blocks`, whose first is its entry.
 *
 * @param data Memory 0.
 * @param place The function's place in the table.
 */
export function translateRegion(
  env: Environment,
  data: DataView,
  blocks: readonly PlannedBlock[],
  place: number,
): Code {
  const none: Masks = { used: 0, written: 0 };
  const first = write(new RegionCode(env, none), data, blocks, place);
  if (!first.isSpilledEarly) return first.code;
  // What is spilled in the middle has to be known before.
  return write(new RegionCode(env, first.masks), data, blocks, place).code;
}

function write(
  region: RegionCode,
  data: DataView,
  blocks: readonly PlannedBlock[],
  place: number,
): RegionCode {
  const { code, env } = region;
  const numbers = new Map(blocks.map(({ address }, i) => [address, i]));
  const first = blocks[0].address + BLOCK_HEADER_BYTES + OP.handler;
  const isForgotten = v.ne(load(env.state, I32, 32, v.i32(first)), v.i32(place));
  const backwards = backwardTargets(blocks, numbers);
  const isTable = backwards.some((target) => target > 0);
  const which = code.local(I32);
  const labels: Label[] = [];
  let again: Label | undefined;

  const writeBlock = (number: number) => {
    const { operations, successors, distance } = blocks[number];
    const follow = (address: number, conditions: readonly Value[]): boolean => {
      const target = numbers.get(successors.get(address) ?? -1);
      if (target === undefined) return false;
      const isBack = target <= number;
      const pending = load(env.state, I32, 32, v.i32(0), AT.pending);
      if (isBack) code.set(region.turns, v.sub(region.turns, v.i32(1)));
      const all = isBack
        ? [...conditions, v.and(v.eqz(pending), v.ne(region.turns, v.i32(0)))]
        : conditions;
      const go = () => {
        if (!isBack) return code.branch(labels[target]);
        if (isTable) code.set(which, v.i32(target));
        code.branch(again!);
      };
      if (all.length > 0) code.if(all.reduce((a, b) => v.and(a, b)), go);
      else go();
      return all.length === 0;
    };
    for (const { address, variant } of operations) {
      code.reuse(() => {
        if (variant === undefined) {
          // The interpreter's.
          return region.leaveTo(v.i32(address), v.add(region.rip, v.i64(distance)));
        }
        const known = { region, data, op: address, distance, isForgotten, follow };
        new KnownHandler(variant, known).emit();
      });
      if (variant === undefined) break;
    }
    code.unreachable();
  };
  /** Blocks from `number` on behind those before it, whose ends are where they begin. */
  const nest = (number: number) => {
    if (number < 0) {
      if (isTable) code.branchTable(labels, which);
      return;
    }
    code.block((label) => {
      labels[number] = label;
      nest(number - 1);
    });
    writeBlock(number);
  };
  region.frame(() => {
    if (backwards.length === 0) return nest(blocks.length - 1);
    code.loop((label) => {
      again = label;
      nest(blocks.length - 1);
    });
  });
  return region;
}

/** Numbers of the blocks to which branches lead backwards. */
function backwardTargets(
  blocks: readonly PlannedBlock[],
  numbers: ReadonlyMap<number, number>,
): number[] {
  return blocks.flatMap(({ successors }, from) =>
    [...successors.values()].map((address) => numbers.get(address) ?? Infinity).filter((to) =>
      to <= from
    )
  );
}
