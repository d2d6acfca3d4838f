/**
 * The script `etc/table-loader`, by which firmware takes tables from fw_cfg files into memory, links
 * them with pointers and sets their checksums: SeaBIOS (romfile_loader.c) and OVMF carry it out.
 *
 * Each command is 128 bytes, little-endian: a number, then its operands.
 *
 * Reference: QEMU, docs/specs/fw_cfg.rst; hw/acpi/bios-linker-loader.c (format).
 */

const COMMAND_BYTES = 128;
const NAME_BYTES = 56;

const ALLOCATE = 1;
const ADD_POINTER = 2;
const ADD_CHECKSUM = 3;
const WRITE_POINTER = 4;

/** Where a file may go: anywhere below 4 GiB, or in F0000h-FFFFFh, where RSDP must be found. */
export type LoaderZone = "high" | "fseg";
const ZONES: Record<LoaderZone, number> = { high: 1, fseg: 2 };

/** Size of a pointer in bytes. */
export type PointerSize = 1 | 2 | 4 | 8;

/** See above: commands are carried out in the order in which they are added. */
export class LoaderScript {
  readonly #commands: Uint8Array[] = [];
  readonly #allocated = new Set<string>();

  /** Loads a file into memory, at a multiple of `align` bytes (a power of two). */
  allocate(file: string, align: number, zone: LoaderZone): this {
    if (align < 1 || !Number.isInteger(Math.log2(align))) {
      throw new Error(`Cannot load "${file}" at multiples of ${align}: a power of two is needed`);
    }
    this.#allocated.add(file);
    return this.#command(ALLOCATE, [file], (data, at) => {
      data.setUint32(at, align, true);
      data.setUint8(at + 4, ZONES[zone]);
    });
  }

  /** Adds the address of `target` to the `size` bytes at `offset` of `file`, both loaded. */
  addPointer(file: string, target: string, offset: number, size: PointerSize): this {
    this.#need(file, target);
    return this.#command(ADD_POINTER, [file, target], (data, at) => {
      data.setUint32(at, offset, true);
      data.setUint8(at + 4, size);
    });
  }

  /** Sets the byte at `offset` of a loaded file so that `length` bytes from `start` sum up to 0. */
  addChecksum(file: string, offset: number, start: number, length: number): this {
    this.#need(file);
    return this.#command(ADD_CHECKSUM, [file], (data, at) => {
      data.setUint32(at, offset, true);
      data.setUint32(at + 4, start, true);
      data.setUint32(at + 8, length, true);
    });
  }

  /** Writes the address of `target` plus `targetOffset` back to the writable file `file`. */
  writePointer(
    file: string,
    target: string,
    { offset, targetOffset, size }: { offset: number; targetOffset: number; size: PointerSize },
  ): this {
    this.#need(target);
    return this.#command(WRITE_POINTER, [file, target], (data, at) => {
      data.setUint32(at, offset, true);
      data.setUint32(at + 4, targetOffset, true);
      data.setUint8(at + 8, size);
    });
  }

  /** The script, to be the file `etc/table-loader`. */
  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#commands.length * COMMAND_BYTES);
    for (const [i, command] of this.#commands.entries()) bytes.set(command, i * COMMAND_BYTES);
    return bytes;
  }

  #need(...files: string[]): void {
    const missing = files.find((file) => !this.#allocated.has(file));
    if (missing !== undefined) {
      throw new Error(`Cannot use "${missing}" in the loader script: allocate it first`);
    }
  }

  #command(
    number: number,
    names: string[],
    operands: (data: DataView, at: number) => void,
  ): this {
    const bytes = new Uint8Array(COMMAND_BYTES);
    const data = new DataView(bytes.buffer);
    data.setUint32(0, number, true);
    for (const [i, name] of names.entries()) {
      const encoded = new TextEncoder().encode(name);
      if (encoded.length >= NAME_BYTES) {
        throw new Error(`Cannot use "${name}" in the loader script: at most 55 bytes are possible`);
      }
      bytes.set(encoded, 4 + i * NAME_BYTES);
    }
    operands(data, 4 + names.length * NAME_BYTES);
    this.#commands.push(bytes);
    return this;
  }
}
