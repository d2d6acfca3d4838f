/**
 * How many instructions of which kind the software CPU has executed in KVM's place: a table for each
 * processor in shared memory, written by the one thread that runs the processor.
 */

import type { FilledInstructions } from "../../accelerator.ts";
import { bytes, f64, list, record, u32 } from "../../../core/state/record.ts";

/** Kinds counted by name; what is beyond counts as "others". */
const MAX_KINDS = 48;
const NAME_BYTES = 24;
const OTHERS = "others";

const Kind = record("kvm.filled.kind", 1, { name: bytes(NAME_BYTES), count: f64 });

/** See above. */
export const FilledTable = record("kvm.filled", 1, {
  kinds: u32,
  /** Time spent, ns. */
  spentNs: f64,
  list: list(Kind, MAX_KINDS + 1),
});

/** Counts for one processor. */
export class FilledCounter {
  readonly #table: InstanceType<typeof FilledTable>;
  readonly #places = new Map<string, number>();

  constructor(buffer: SharedArrayBuffer) {
    const table = this.#table = new FilledTable(buffer);
    for (let i = 0; i < table.kinds; i++) this.#places.set(nameOf(table.list[i].name), i);
  }

  /** One more of the kind `name`, which took `spentNs`. */
  add(name: string, spentNs: number): void {
    const table = this.#table;
    let place = this.#places.get(name);
    if (place === undefined) {
      if (table.kinds >= MAX_KINDS && name !== OTHERS) return this.add(OTHERS, spentNs);
      place = table.kinds;
      table.list[place].name.set(new TextEncoder().encode(name).subarray(0, NAME_BYTES));
      this.#places.set(name, place);
      table.kinds = place + 1;
    }
    table.list[place].count++;
    table.spentNs += spentNs;
  }
}

function nameOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  return new TextDecoder().decode(field.slice(0, end < 0 ? field.length : end));
}

/** The sum over the processors' tables. */
export function readFilled(buffers: readonly SharedArrayBuffer[]): FilledInstructions {
  const counts = new Map<string, number>();
  let count = 0;
  let spentNs = 0;
  for (const buffer of buffers) {
    const table = new FilledTable(buffer);
    spentNs += table.spentNs;
    for (let i = 0; i < table.kinds; i++) {
      const { name, count: times } = table.list[i];
      counts.set(nameOf(name), (counts.get(nameOf(name)) ?? 0) + times);
      count += times;
    }
  }
  return { count, spentNs, byName: new Map([...counts].sort(([, a], [, b]) => b - a)) };
}
