/** The file of an image that grows, with its end known without asking the host at every access. */

import type { ImageFile } from "../image_file.ts";

/** See above. */
export class GrowingFile implements ImageFile {
  /** Nothing at or beyond it has ever been written. */
  end: number;
  readonly path: string;
  readonly writable: boolean;
  readonly #file: ImageFile;

  /** Takes `file` over. */
  constructor(file: ImageFile) {
    this.#file = file;
    this.path = file.path;
    this.writable = file.writable;
    this.end = file.size;
  }

  get fd(): number {
    return this.#file.fd;
  }
  get size(): number {
    return this.#file.size;
  }
  read(into: Uint8Array, position: number): number {
    return this.#file.read(into, position);
  }
  write(from: Uint8Array, position: number): void {
    // Before: a write that fails may have been done in part.
    if (from.length > 0) this.end = Math.max(this.end, position + from.length);
    this.#file.write(from, position);
  }
  sync(): void {
    this.#file.sync();
  }
  resize(size: number): void {
    this.#file.resize(size);
  }
  punchHole(position: number, length: number): boolean {
    return this.#file.punchHole(position, length);
  }
  zeroRange(position: number, length: number): boolean {
    return this.#file.zeroRange(position, length);
  }
  holeAt(position: number, length: number): number {
    return this.#file.holeAt(position, length);
  }
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
