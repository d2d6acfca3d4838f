/**
 * The translating tier: code that has been executed often is made into functions of WebAssembly, a
 * region (region_plan.ts) each, many in a module. Modules of one function each would make calls between
 * them slow: V8 goes from instance to instance at a hundred times the cost of a call within one.
 *
 * The function of a region takes the place of its first operation's handler; the records stay as they
 * are, so that any operation can be left to the interpreter, and the region be forgotten at any time.
 */

import type { Environment } from "../codegen/operand_handler.ts";
import { BLOCK_HEADER_BYTES, HEADER } from "../blocks/header.ts";
import { OP } from "../codegen/operation.ts";
import { SSE_IMPORTS } from "../float/module.ts";
import { FIRST_REGION_PLACE, HANDLERS, REGION_PLACES, SHARED_FUNCTIONS } from "../interpreter.ts";
import { PRIVATE_BYTES } from "../state/state.ts";
import { ModuleBuilder } from "../wasm/module_builder.ts";
import { I32 } from "../wasm/value.ts";
import { planRegion } from "./region_plan.ts";
import { translateRegion } from "./region.ts";

const WASM_PAGE = 65536;

/** When code is translated. */
export interface TranslationPolicy {
  /** Executions after which a block counts as hot; 0: nothing is translated. */
  readonly hotAfter: number;
  /** Hot blocks that are translated together, as soon as there are so many. */
  readonly together: number;
  /** Executions after which a hot block does not wait for others any longer. */
  readonly patience: number;
}

/** What was measured to be best for Linux's start. */
export const TRANSLATION: TranslationPolicy = { hotAfter: 2000, together: 32, patience: 20_000 };
/** For processors that execute single instructions. */
export const NO_TRANSLATION: TranslationPolicy = { hotAfter: 0, together: 1, patience: 1 };

const COUNT = HANDLERS.get("count")!;

interface Region {
  /** Place of its function in the table. */
  readonly place: number;
  readonly first: number;
  readonly blocks: readonly number[];
}

/** What translated code is made with. */
export interface TranslatorParts {
  /** Memory 0. */
  readonly words: Int32Array;
  /** The interpreter's exports and what it imports, by name. */
  readonly host: Readonly<Record<string, WebAssembly.ExportValue>>;
  readonly table: WebAssembly.Table;
  readonly guestPages: number;
  readonly wide: boolean;
  readonly policy: TranslationPolicy;
}

/** See above. */
export class Translator {
  readonly #parts: TranslatorParts;
  readonly #data: DataView;
  readonly #words: Int32Array;
  readonly #waiting = new Set<number>();
  readonly #regions = new Map<number, Region>();
  /** Regions by the blocks that they have. */
  readonly #with = new Map<number, Set<Region>>();
  readonly #free: number[] = [];

  constructor(parts: TranslatorParts) {
    this.#parts = parts;
    this.#words = parts.words;
    this.#data = new DataView(parts.words.buffer);
    for (let i = REGION_PLACES - 1; i >= 0; i--) this.#free.push(FIRST_REGION_PLACE + i);
  }

  /** The block has been executed `hotAfter` times, or as often again as it may wait. */
  hot(block: number): void {
    const { policy } = this.#parts;
    const isImpatient = this.#waiting.has(block);
    this.#waiting.add(block);
    this.#words[block + HEADER.count >> 2] = policy.patience;
    if (isImpatient || this.#waiting.size >= policy.together) this.#translate();
  }

  /** A block, or all of them, will not be executed any more. */
  forget(block?: number): void {
    if (block === undefined) {
      this.#waiting.clear();
      this.#dropAll();
      return;
    }
    this.#waiting.delete(block);
    for (const region of this.#with.get(block) ?? []) this.#drop(region);
  }

  #dropAll(): void {
    for (const region of this.#regions.values()) this.#drop(region);
  }

  #drop(region: Region): void {
    const { first, place, blocks } = region;
    this.#regions.delete(first);
    for (const block of blocks) {
      const others = this.#with.get(block)!;
      others.delete(region);
      if (others.size === 0) this.#with.delete(block);
    }
    this.#parts.table.set(place, null);
    this.#free.push(place);
    this.#count(first);
  }

  #count(block: number): void {
    this.#words[block + HEADER.count >> 2] = this.#parts.policy.hotAfter;
    this.#words[block + BLOCK_HEADER_BYTES + OP.handler >> 2] = COUNT;
  }

  #translate(): void {
    // What is still hot comes again.
    if (this.#free.length < this.#waiting.size) this.#dropAll();
    const regions: Region[] = [];
    const { host, table, guestPages, wide } = this.#parts;
    const module = new ModuleBuilder();
    const env = environment(module, guestPages, wide);
    const covered = new Set<number>();
    for (const first of this.#waiting) {
      // Reached by another region: by itself only if it is entered often all the same.
      if (covered.has(first)) {
        this.#count(first);
        continue;
      }
      const place = this.#free.pop()!;
      const plan = planRegion(this.#data, first);
      const index = module.declare([I32], [I32]);
      module.define(index, translateRegion(env, this.#data, plan, place));
      module.export(`${place}`, index);
      const blocks = plan.map(({ address }) => address);
      for (const block of blocks) covered.add(block);
      regions.push({ place, first, blocks });
    }
    this.#waiting.clear();
    const bytes = module.build();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host });
    for (const region of regions) {
      const { place, first, blocks } = region;
      table.set(place, exports[place] as CallableFunction);
      this.#regions.set(first, region);
      for (const block of blocks) {
        const regions = this.#with.get(block) ?? new Set();
        this.#with.set(block, regions.add(region));
      }
      this.#words[first + BLOCK_HEADER_BYTES + OP.handler >> 2] = place;
    }
  }
}

/** What every module of translated code imports. */
function environment(module: ModuleBuilder, guestPages: number, wide: boolean): Environment {
  const shared = Object.fromEntries(
    Object.entries(SHARED_FUNCTIONS).map(([name, [parameters, results]]) => [
      name,
      module.importFunction(name, parameters, results),
    ]),
  ) as { [K in keyof typeof SHARED_FUNCTIONS]: number };
  const slow = module.importFunction("slow", [I32], [I32]);
  const service = module.importFunction("service", [I32], [I32]);
  const floats = new Map(SSE_IMPORTS.map(([name, [parameters, results]]) => [
    name,
    module.importFunction(name, parameters, results),
  ]));
  const state = module.importMemory("state", { pages: PRIVATE_BYTES / WASM_PAGE, wide: false });
  const guest = module.importMemory("guest", { pages: guestPages, wide });
  module.importTable("table", HANDLERS.size + REGION_PLACES);
  return { ...shared, slow, service, floats, state, guest, handlerType: module.type([I32], [I32]) };
}
