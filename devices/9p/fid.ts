/** Fids: the numbers by which a client names files, and what each stands for. */

import { FileError, type OpenFile } from "../../hv/core/media/file_tree.ts";
import { EBADF, EEXIST, EMFILE, ENFILE } from "./errno.ts";
import { NOFID } from "./message.ts";
import type { Place } from "./place.ts";

/** A file that the client names. */
export interface Fid {
  readonly number: number;
  place: Place;
  /** While it is open. */
  file: OpenFile | undefined;
  /** Whether it is open for writing. */
  writable: boolean;
  /** While it stands for an extended attribute of the file. */
  attribute: AttributeFid | undefined;
}

/** An extended attribute, or the names of all, that is read or written by a fid of its own. */
export interface AttributeFid {
  /** What is read, or room for all that is to be written. */
  readonly bytes: Uint8Array;
  /** How many have been written. */
  written: number;
  /** What it is to be stored as when the fid is given up; undefined: it is read. */
  readonly store: { readonly name: string; readonly flags: number } | undefined;
}

/** How much a client may have at a time. */
export interface FidLimits {
  readonly fids: number;
  readonly openFiles: number;
}

/** All fids of a session. */
export class FidTable {
  readonly #limits: FidLimits;
  readonly #fids = new Map<number, Fid>();
  #openFiles = 0;

  constructor(limits: FidLimits) {
    this.#limits = limits;
  }

  /** How many there are. */
  get size(): number {
    return this.#fids.size;
  }

  /** How many are open. */
  get openFiles(): number {
    return this.#openFiles;
  }

  /** What `number` stands for. @throws FileError EBADF */
  get(number: number): Fid {
    const fid = this.#fids.get(number);
    if (fid === undefined) throw new FileError(EBADF);
    return fid;
  }

  /** Fails unless `number` may be given to `add`. @throws FileError EEXIST, EBADF or ENFILE */
  checkFree(number: number): void {
    if (number === NOFID) throw new FileError(EBADF);
    if (this.#fids.has(number)) throw new FileError(EEXIST);
    if (this.#fids.size >= this.#limits.fids) throw new FileError(ENFILE);
  }

  /** Lets `number`, which is free, stand for `place`. */
  add(number: number, place: Place): void {
    this.checkFree(number);
    place.use();
    this.#fids.set(number, {
      number,
      place,
      file: undefined,
      writable: false,
      attribute: undefined,
    });
  }

  /** Lets a fid stand for another place. */
  move(fid: Fid, place: Place): void {
    place.use();
    fid.place.release();
    fid.place = place;
  }

  /** Keeps what `open` opens as the open file of `fid`. @throws FileError EMFILE, EBADF */
  open(fid: Fid, writable: boolean, open: () => OpenFile): void {
    this.#checkOpening(fid);
    fid.file = open();
    fid.writable = writable;
    this.#openFiles++;
  }

  /** Lets a fid stand for an attribute of its file; it counts as open. @throws FileError EMFILE, EBADF */
  openAttribute(fid: Fid, attribute: AttributeFid): void {
    this.#checkOpening(fid);
    fid.attribute = attribute;
    this.#openFiles++;
  }

  #checkOpening(fid: Fid): void {
    if (fid.file !== undefined || fid.attribute !== undefined) throw new FileError(EBADF);
    if (this.#openFiles >= this.#limits.openFiles) throw new FileError(EMFILE);
  }

  /** All of them. */
  [Symbol.iterator](): IterableIterator<Fid> {
    return this.#fids.values();
  }

  /** Forgets all, and leaves open what is open. */
  abandon(): void {
    this.#fids.clear();
    this.#openFiles = 0;
  }

  /** Forgets `number`. @throws FileError EBADF */
  remove(number: number): void {
    const fid = this.get(number);
    this.#fids.delete(number);
    this.#close(fid);
  }

  /** Forgets all. */
  clear(): void {
    for (const fid of this.#fids.values()) this.#close(fid);
    this.#fids.clear();
  }

  #close(fid: Fid): void {
    fid.file?.close();
    if (fid.file !== undefined || fid.attribute !== undefined) this.#openFiles--;
    fid.place.release();
  }
}
