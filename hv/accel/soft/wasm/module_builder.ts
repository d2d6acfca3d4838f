/** A WebAssembly module put together from functions (WebAssembly core specification, 5.5). */

import { ByteWriter } from "./byte_writer.ts";
import { Code, type MemoryRef } from "./code.ts";
import type { Type } from "./value.ts";

const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const Section = {
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  export: 7,
  element: 9,
  code: 10,
} as const;
const Kind = { function: 0, table: 1, memory: 2 } as const;
const FUNCREF = 0x70;
/** Limits with a maximum. */
const LIMITED = 0x01;

/** Limits of an imported shared memory, in units of 64 KiB. */
export interface MemoryLimits {
  readonly pages: number;
  /** Addresses have 64 bits. */
  readonly wide: boolean;
}

interface Import {
  readonly name: string;
  readonly write: (out: ByteWriter) => void;
}

/**
 * See above. Imports come first: every `importFunction` precedes the first `declare`, since
 * functions are numbered in that order.
 */
export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #typeBytes: Uint8Array[] = [];
  readonly #imports: Import[] = [];
  readonly #functionTypes: number[] = [];
  readonly #bodies: (Uint8Array | undefined)[] = [];
  readonly #exports: [name: string, index: number][] = [];
  readonly #table: number[] = [];
  /** Name under which the table is exported, and its free places. */
  #exportedTable: { readonly name: string; readonly spare: number } | undefined;
  #importedFunctions = 0;
  #memories = 0;

  /** Index of a function type; the same type has the same index. */
  type(parameters: readonly Type[], results: readonly Type[]): number {
    const key = `${parameters}:${results}`;
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    const out = new ByteWriter(32);
    out.byte(0x60);
    for (const list of [parameters, results]) {
      out.unsigned(list.length);
      for (const one of list) out.byte(one);
    }
    this.#typeBytes.push(out.view());
    return this.#types.push(key) - 1;
  }

  /** Imports a function from the module name `host`. */
  importFunction(name: string, parameters: readonly Type[], results: readonly Type[]): number {
    if (this.#functionTypes.length > 0) throw new Error("Cannot import a function after declaring");
    const type = this.type(parameters, results);
    this.#imports.push({
      name,
      write: (out) => {
        out.byte(Kind.function);
        out.unsigned(type);
      },
    });
    return this.#importedFunctions++;
  }

  /** Imports a shared memory from the module name `host`. */
  importMemory(name: string, { pages, wide }: MemoryLimits): MemoryRef {
    this.#imports.push({
      name,
      write: (out) => {
        out.byte(Kind.memory);
        out.byte(wide ? 0x07 : 0x03); // shared, with a maximum
        out.unsigned(pages);
        out.unsigned(pages);
      },
    });
    return { index: this.#memories++, wide };
  }

  /** Imports table 0, of `size` functions, from the module name `host`. */
  importTable(name: string, size: number): void {
    this.#imports.push({
      name,
      write: (out) => {
        out.byte(Kind.table);
        out.append([FUNCREF, LIMITED]);
        out.unsigned(size);
        out.unsigned(size);
      },
    });
  }

  /** Reserves a function's index, so that others can call it before it is written. */
  declare(parameters: readonly Type[], results: readonly Type[]): number {
    this.#bodies.push(undefined);
    return this.#importedFunctions + this.#functionTypes.push(this.type(parameters, results)) - 1;
  }

  /** Gives function `index` its body. */
  define(index: number, code: Code): void {
    this.#bodies[index - this.#importedFunctions] = code.finish();
  }

  export(name: string, index: number): void {
    this.#exports.push([name, index]);
  }

  /** Exports table 0, with `spare` places beyond those that are filled. */
  exportTable(name: string, spare: number): void {
    this.#exportedTable = { name, spare };
  }

  /** Appends function `index` to table 0; the result is its place there. */
  addToTable(index: number): number {
    return this.#table.push(index) - 1;
  }

  /** The module's bytes. */
  build(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(1 << 16);
    out.append(HEADER);
    const section = (id: number, count: number, write: (out: ByteWriter) => void) => {
      if (count === 0) return;
      const content = new ByteWriter(1 << 12);
      content.unsigned(count);
      write(content);
      out.byte(id);
      out.unsigned(content.length);
      out.append(content.view());
    };
    section(Section.type, this.#types.length, (s) => this.#typeBytes.forEach((t) => s.append(t)));
    section(Section.import, this.#imports.length, (s) => {
      for (const { name, write } of this.#imports) {
        s.name("host");
        s.name(name);
        write(s);
      }
    });
    section(Section.function, this.#functionTypes.length, (s) => {
      for (const type of this.#functionTypes) s.unsigned(type);
    });
    section(Section.table, this.#table.length > 0 ? 1 : 0, (s) => {
      const size = this.#table.length + (this.#exportedTable?.spare ?? 0);
      s.append([FUNCREF, LIMITED]);
      s.unsigned(size);
      s.unsigned(size);
    });
    const tables = this.#exportedTable === undefined ? 0 : 1;
    section(Section.export, this.#exports.length + tables, (s) => {
      if (this.#exportedTable !== undefined) {
        s.name(this.#exportedTable.name);
        s.byte(Kind.table);
        s.unsigned(0);
      }
      for (const [name, index] of this.#exports) {
        s.name(name);
        s.byte(Kind.function);
        s.unsigned(index);
      }
    });
    section(Section.element, this.#table.length > 0 ? 1 : 0, (s) => {
      s.append([0x00, 0x41, 0x00, 0x0b]);
      s.unsigned(this.#table.length);
      for (const index of this.#table) s.unsigned(index);
    });
    section(Section.code, this.#bodies.length, (s) => {
      this.#bodies.forEach((body, i) => {
        if (body === undefined) throw new Error(`Cannot build: function ${i} has no body`);
        s.unsigned(body.length);
        s.append(body);
      });
    });
    return out.view();
  }
}
