/**
 * A bounded cache of a table that is in an image's file, in slices. What is changed stays here until it
 * is written: by whom and in which order is its owner's to say.
 */

import { type ImageFile, readPadded } from "./image_file.ts";

/** A part of a table. It must not be kept across another `get`, which may drop it. */
export interface Slice {
  /** In the file. */
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Has it been changed since it was read or written? */
  dirty: boolean;
  /** Has it been asked for since the cache last looked for one to drop? */
  used: boolean;
}

/** See above. */
export class TableCache {
  readonly #file: ImageFile;
  readonly #sliceBytes: number;
  readonly #most: number;
  readonly #clean: () => void;
  readonly #slices = new Map<number, Slice>();
  #last: Slice | undefined;
  #dirty = 0;

  /**
   * @param sliceBytes A power of two.
   * @param most Slices that are kept.
   * @param clean Has to leave every slice clean; called when there is no room and all are dirty.
   */
  constructor(file: ImageFile, sliceBytes: number, most: number, clean: () => void) {
    this.#file = file;
    this.#sliceBytes = sliceBytes;
    this.#most = most;
    this.#clean = clean;
  }

  /** Is anything changed that has not been written? */
  get dirty(): boolean {
    return this.#dirty > 0;
  }

  /** The slice at `position` in the file, a whole number of slices; what the file lacks is zeros. */
  get(position: number): Slice {
    const last = this.#last;
    if (last !== undefined && last.position === position) return last;
    const slice = this.#slices.get(position) ?? this.#load(position);
    slice.used = true;
    return this.#last = slice;
  }

  /** Says that a slice, just got, has been changed. */
  changed(slice: Slice): void {
    if (slice.dirty) return;
    slice.dirty = true;
    this.#dirty++;
  }

  /** Forgets what is in a range of the file, which has been written past the cache. */
  forget(position: number, length: number): void {
    for (let at = position; at < position + length; at += this.#sliceBytes) {
      const slice = this.#slices.get(at);
      if (slice === undefined) continue;
      if (slice.dirty) this.#dirty--;
      this.#slices.delete(at);
    }
    this.#last = undefined;
  }

  /** Writes every dirty slice; they stay dirty until `settle`. */
  write(): void {
    if (this.#dirty === 0) return;
    const dirty = [...this.#slices.values()].filter((slice) => slice.dirty);
    dirty.sort((a, b) => a.position - b.position);
    for (const { bytes, position } of dirty) this.#file.write(bytes, position);
  }

  /** What was written is where it has to be: nothing is dirty any more. */
  settle(): void {
    if (this.#dirty === 0) return;
    for (const slice of this.#slices.values()) slice.dirty = false;
    this.#dirty = 0;
  }

  #load(position: number): Slice {
    if (this.#slices.size >= this.#most) this.#makeRoom();
    const bytes = new Uint8Array(this.#sliceBytes);
    readPadded(this.#file, bytes, position);
    const view = new DataView(bytes.buffer);
    const slice: Slice = { position, bytes, view, dirty: false, used: true };
    this.#slices.set(position, slice);
    return slice;
  }

  /** Drops a quarter of the slices, those first that nobody has asked for lately. */
  #makeRoom(): void {
    if (this.#dirty > this.#most * 3 / 4) this.#clean();
    this.#last = undefined;
    let wanted = Math.max(1, this.#most >> 2);
    for (const pass of ["unused", "any"]) {
      for (const [position, slice] of this.#slices) {
        if (wanted === 0) return;
        if (slice.dirty) continue;
        if (pass === "unused" && slice.used) {
          slice.used = false;
          continue;
        }
        this.#slices.delete(position);
        wanted--;
      }
    }
  }
}
